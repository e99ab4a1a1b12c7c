"""Two packages that other tools made, a CNN and a transformer, brought to fewer bits: the figures of the tutorial.

    python scripts/palettization_tutorial.py [--plot docs/images/palettization.png] [--keep FOLDER]

Trains both networks for a minute on tasks made here (the angle of a grating; the next token of a repeating sequence),
converts them with coremltools' own converter, palettizes them in every form, runs all packages, prints the table of
docs/palettization.md and draws its plot. Seeds are fixed; figures may differ in the last digits between machines.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobie_coreml.runtime import open_runner
from palettization.palettize import palettize
from palettization.recipe import Choice, Recipe

STEPS = 120
SAMPLES = 8
PLOT = Path(__file__).parents[1] / "docs" / "images" / "palettization.png"
FORMS = {
    "iOS17: one table": ("iOS17", [Choice(bits) for bits in (2, 4, 6, 8)]),
    "iOS18: a table for 16 channels": ("iOS18", [Choice(bits, 16) for bits in (2, 3, 4, 6)]),
    "iOS18: scaled channels": ("iOS18", [Choice(bits, per_channel_scale=True) for bits in (2, 3, 4, 6, 8)]),
    "iOS18: vectors of 2": ("iOS18", [Choice(bits, cluster_dim=2) for bits in (4, 6, 8)]),
}


class Cnn(nn.Module):
    """(B, 3, 32, 32) images to (B, 8) logits, one for each angle of a grating."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 128)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2 if index else 1, padding=1)
            for index, (before, after) in enumerate(itertools.pairwise(widths))
        )
        self.head = nn.Linear(widths[-1], 8)

    def forward(self, image: Tensor) -> Tensor:
        for convolution in self.convolutions:
            image = functional.relu(convolution(image))
        return self.head(image.mean(dim=(2, 3)))

    @staticmethod
    def batch(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noisy gratings and their angles."""
        angle = torch.randint(8, (count,), generator=generator)
        phase, pitch = torch.rand(2, count, 1, 1, generator=generator)
        y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
        theta = (angle * torch.pi / 8)[:, None, None]
        wave = torch.sin((x * theta.cos() + y * theta.sin()) * (0.4 + 0.6 * pitch) + 6.28 * phase)
        return wave[:, None] + 0.5 * torch.randn(count, 3, 32, 32, generator=generator), angle


class Block(nn.Module):
    """Causal attention with 4 heads and a feed-forward layer over (B, 24, 128)."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.register_buffer("mask", torch.full((24, 24), -1e4).triu(1))

    def forward(self, states: Tensor) -> Tensor:
        normed = self.norms[0](states)
        query, key, value = (
            layer(normed).reshape(-1, 24, 4, 32).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.transpose(2, 3) * 32**-0.5 + self.mask, dim=-1)
        states = states + self.out((weights @ value).transpose(1, 2).reshape(-1, 24, 128))
        return states + self.down(functional.gelu(self.up(self.norms[1](states))))


class Transformer(nn.Module):
    """(B, 24) tokens to (B, 24, 32) logits of the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(32, 128), nn.Parameter(0.02 * torch.randn(24, 128))
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(128, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        states = self.tokens(tokens) + self.places
        for block in self.blocks:
            states = block(states)
        return self.head(states)

    @staticmethod
    def batch(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sequences that repeat every 3 to 6 tokens, and the same one token later."""
        periods = torch.randint(3, 7, (count, 1), generator=generator)
        tokens = torch.randint(32, (count, 6), generator=generator).gather(1, torch.arange(25) % periods)
        return tokens[:, :-1], tokens[:, 1:]


@dataclass(frozen=True)
class Row:
    """One palettized package. Ratios of signal to noise in dB, of all weights and of the outputs."""

    network: str
    form: str
    bits: int
    bits_per_weight: float
    size: int
    weights_snr: float
    output_snr: float


def train(network: nn.Module, batch: Any) -> nn.Module:
    """Adam with cross-entropy, a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(STEPS):
        given, wanted = batch(32, generator)
        loss = functional.cross_entropy(network(given).flatten(0, -2), wanted.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without the messages of other libraries."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def convert(network: nn.Module, example: Tensor, path: Path, target: str) -> None:
    """coremltools' own conversion, fp16."""
    with silent():
        import coremltools as ct

        kind = np.int32 if example.dtype == torch.int64 else np.float32
        traced = torch.jit.trace(network, example)
        ct.convert(
            traced,
            inputs=[ct.TensorType("given", example.shape, dtype=kind)],
            outputs=[ct.TensorType("logits")],
            minimum_deployment_target=getattr(ct.target, target),
            skip_model_load=True,
        ).save(str(path))


def outputs(path: Path, samples: Tensor) -> np.ndarray:
    """The logits of all samples, run one by one."""
    runner = open_runner(path, runtime="mil")
    return np.stack([np.asarray(runner.run({"given": sample[None].numpy()})["logits"]) for sample in samples])


def measure(name: str, network: nn.Module, samples: Tensor, folder: Path) -> list[Row]:
    """Every form of one network."""
    rows = []
    plain = {target: folder / f"{name}_{target}.mlpackage" for target in ("iOS17", "iOS18")}
    for target, path in plain.items():
        convert(network, samples[:1], path, target)
    reference = {target: outputs(path, samples) for target, path in plain.items()}
    for form, (target, choices) in FORMS.items():
        for choice in choices:
            out = folder / f"{name}_{len(rows)}.mlpackage"
            report = palettize(plain[target], out, Recipe(choice))
            noise = outputs(out, samples) - reference[target]
            signal = np.square(reference[target], dtype=np.float64).sum()
            energy = sum(tensor.energy for tensor in report.palettized)
            rows.append(
                Row(
                    network=name,
                    form=form,
                    bits=choice.bits,
                    bits_per_weight=report.bits_per_weight,
                    size=report.bytes_after,
                    weights_snr=10 * np.log10(energy / report.squared_error),
                    output_snr=10 * np.log10(signal / np.square(noise, dtype=np.float64).sum()),
                )
            )
    size = sum(item.stat().st_size for item in plain["iOS17"].rglob("*") if item.is_file())
    rows.append(Row(name, "fp16", 16, 16.0, size, np.inf, np.inf))
    return rows


def show(rows: list[Row]) -> None:
    """The table, in Markdown: a line for each form and width, networks side by side."""
    networks = list(dict.fromkeys(row.network for row in rows))
    titles = [f"{name}: bits a weight | kB | SNR of weights | of outputs" for name in networks]
    print(f"| form | `--bits` | {' | '.join(titles)} |")
    print("| --- " * (2 + 4 * len(networks)) + "|")
    for form, bits in dict.fromkeys((row.form, row.bits) for row in rows):
        cells = [form, str(bits)]
        for row in (row for row in rows if (row.form, row.bits) == (form, bits)):
            cells += [f"{row.bits_per_weight:.2f}", f"{row.size / 1000:.0f}"]
            cells += ["exact" if value == np.inf else f"{value:.1f} dB" for value in (row.weights_snr, row.output_snr)]
        print(f"| {' | '.join(cells)} |")


def draw(rows: list[Row], path: Path) -> None:
    """A column for each network: the outputs' SNR over bits a weight, and below it the gain over one table a tensor."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    networks = list(dict.fromkeys(row.network for row in rows))
    figure, axes = plt.subplots(
        2, len(networks), figsize=(10, 6.4), sharex="col", height_ratios=(3, 2), layout="constrained", squeeze=False
    )
    for (above, below), network in zip(axes.T, networks, strict=True):
        lines = {
            form: np.array(
                sorted(
                    (row.bits_per_weight, row.output_snr) for row in rows if (row.network, row.form) == (network, form)
                )
            )
            for form in FORMS
        }
        plain = next(iter(lines.values()))
        for (form, line), marker in zip(lines.items(), "os^D", strict=True):
            style = {"marker": marker, "markersize": 5, "label": form}
            above.plot(*line.T, **style)
            below.plot(line[:, 0], line[:, 1] - np.interp(line[:, 0], *plain.T), **style)
        above.set_title(network)
        above.set_ylabel("outputs' SNR against fp16, dB")
        below.set_ylabel("gain over one table, dB")
        below.set_xlabel("bits a weight, tables and scales included")
        for axis in (above, below):
            axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, default=PLOT, help="the PNG to write")
    parser.add_argument("--keep", type=Path, help="a folder for the packages")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, kind in (("CNN", Cnn), ("transformer", Transformer)):
            torch.manual_seed(0)
            network = train(kind(), kind.batch)
            samples, _ = kind.batch(SAMPLES, torch.Generator().manual_seed(1))
            rows += measure(name, network, samples, folder)
    show(rows)
    draw(rows, options.plot)


if __name__ == "__main__":
    main()
