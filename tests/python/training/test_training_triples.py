"""Sources of triples and their latent cache."""

import io
import json
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mobie_coreml.errors import InputError
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.presets import Preset
from mobie_coreml.training.photos import generator
from mobie_coreml.training.triple_cache import CachedTriples, cache_triples
from mobie_coreml.training.triples import COLUMNS, Triple, open_triples

SIZE = (48, 32)


def drawing(index: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    pixels = np.random.default_rng(index).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def fill_folder(folder: Path, count: int) -> None:
    folder.mkdir()
    lines = []
    for index in range(count):
        drawing(index).save(folder / f"{index}a.png")
        drawing(index + 100).save(folder / f"{index}b.png")
        lines.append({"source": f"{index}a.png", "target": f"{index}b.png", "instruction": f"edit {index}"})
    (folder / "triples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def fill_shards(folder: Path, count: int) -> None:
    folder.mkdir()
    for shard in range(2):
        with tarfile.open(folder / f"{shard}.tar", "w") as archive:
            for index in range(shard, count, 2):
                text = f"edit {index}"
                said = {"txt": text.encode()} if shard else {"json": json.dumps({"instruction": text}).encode()}
                members = {"source.png": encoded(drawing(index)), "target.png": encoded(drawing(index + 100)), **said}
                for kind, content in members.items():
                    member = tarfile.TarInfo(f"{index:04d}.{kind}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


def stand_in(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """A module `datasets` that gives these rows and notes what it was asked for."""

    class Rows:
        column_names = tuple(rows[0])

        def __iter__(self) -> Iterator[dict[str, Any]]:
            return iter(rows)

    asked: list[tuple[str, dict[str, Any]]] = []

    def load_dataset(name: str, **options: Any) -> Rows:
        asked.append((name, options))
        return Rows()

    def load_from_disk(name: str) -> dict[str, Rows]:
        asked.append((name, {}))
        return {"train": Rows()}

    module = ModuleType("datasets")
    module.load_dataset, module.load_from_disk = load_dataset, load_from_disk  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked


@pytest.fixture(scope="module")
def autoencoder(small_preset: Preset) -> TinyAutoencoder:
    torch.manual_seed(2)
    return TinyAutoencoder(small_preset.autoencoder).eval()


@pytest.mark.parametrize("fill", [fill_folder, fill_shards])
def test_triples_are_read_in_order(tmp_path: Path, fill: Callable[[Path, int], None]) -> None:
    fill(tmp_path / "data", 6)
    source = open_triples(str(tmp_path / "data"))
    assert source is not None
    found = [triple for triple in source if isinstance(triple, Triple)]
    order = [0, 1, 2, 3, 4, 5] if fill is fill_folder else [0, 2, 4, 1, 3, 5]
    assert [triple.instruction for triple in found] == [f"edit {index}" for index in order]
    for index, triple in zip(order, found, strict=True):
        assert np.array_equal(np.asarray(triple.source()), np.asarray(drawing(index)))
        assert np.array_equal(np.asarray(triple.target()), np.asarray(drawing(index + 100)))


@pytest.mark.parametrize("layout", COLUMNS)
@pytest.mark.parametrize("decoded", [True, False])
def test_data_sets_are_known_by_their_columns(monkeypatch: pytest.MonkeyPatch, layout: str, decoded: bool) -> None:
    source, target, instruction = COLUMNS[layout]

    def image(index: int) -> Any:
        return drawing(index) if decoded else {"bytes": encoded(drawing(index)), "path": None}

    rows = [{source: image(index), target: image(index + 9), instruction: f"edit {index}"} for index in range(3)]
    asked = stand_in(monkeypatch, [*rows, {source: image(1), target: None, instruction: "x"}])
    triples = open_triples("hub:someone/edits", "dev")
    assert triples is not None
    found = list(triples)
    assert found[3] == "not a triple"
    assert [one.instruction for one in found if isinstance(one, Triple)] == ["edit 0", "edit 1", "edit 2"]
    assert isinstance(found[2], Triple)
    assert np.array_equal(np.asarray(found[2].target()), np.asarray(drawing(11)))
    assert asked == [("someone/edits", {"split": "dev", "streaming": True})]


def test_a_saved_data_set_is_read_from_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    columns = COLUMNS["MagicBrush"]
    asked = stand_in(monkeypatch, [dict(zip(columns, (drawing(0), drawing(1), "edit"), strict=True))])
    (tmp_path / "dataset_dict.json").write_text("{}")
    triples = open_triples(str(tmp_path))
    assert triples is not None
    assert len(list(triples)) == 1
    assert asked == [(str(tmp_path), {})]


def test_what_cannot_be_read_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="needs the package datasets"):
        open_triples("hub:someone/edits")
    stand_in(monkeypatch, [{"image": 1, "caption": 2}])
    with pytest.raises(InputError, match=r"has the columns caption, image"):
        open_triples("hub:someone/edits")
    with pytest.raises(InputError, match="There is no data at"):
        open_triples(str(tmp_path / "absent"))
    assert open_triples(str(tmp_path)) is None


def test_a_stream_that_breaks_is_one_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, autoencoder: TinyAutoencoder
) -> None:
    columns = COLUMNS["MagicBrush"]
    row = dict(zip(columns, (drawing(0), drawing(1), "edit"), strict=True))

    class Breaking(list[dict[str, Any]]):
        def __iter__(self) -> Iterator[dict[str, Any]]:
            yield row
            raise ConnectionError("the line is down")

    stand_in(monkeypatch, Breaking([row]))
    triples = open_triples("hub:someone/edits")
    assert triples is not None
    with pytest.raises(InputError, match="cannot be read on: the line is down"):
        cache_triples(tmp_path, triples, autoencoder, SIZE)
    assert not list(tmp_path.iterdir())


def test_broken_entries_are_left_out_and_counted(tmp_path: Path, autoencoder: TinyAutoencoder) -> None:
    fill_folder(tmp_path / "data", 12)
    (tmp_path / "secret.png").write_bytes(encoded(drawing(0)))
    (tmp_path / "data" / "0a.png").write_bytes(b"not a picture")
    drawing(1, (200, 64)).save(tmp_path / "data" / "1b.png")
    drawing(2, (16, 16)).save(tmp_path / "data" / "2a.png")
    with (tmp_path / "data" / "triples.jsonl").open("a") as lines:
        lines.write('{"source": "3a.png", "target": "3b.png"}\n')
        lines.write('{"source": "../secret.png", "target": "3b.png", "instruction": "x"}\n')
        lines.write("not json\n\n")
        lines.write('{"source": "absent.png", "target": "3b.png", "instruction": "x"}\n')
    source = open_triples(str(tmp_path / "data"))
    assert source is not None
    cached = CachedTriples(cache_triples(tmp_path, source, autoencoder, SIZE, held_out_every=0), 4)
    assert cached.index["triples"] == 9
    assert cached.index["skipped"] == {"unreadable": 2, "of two shapes": 1, "too small": 1, "not a triple": 3}
    assert "7 left out" in cached.summary()


def test_a_damaged_shard_gives_what_is_whole(tmp_path: Path) -> None:
    fill_shards(tmp_path / "data", 8)
    shard = tmp_path / "data" / "0.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2 + 700])
    source = open_triples(str(tmp_path / "data"))
    assert source is not None
    found = list(source)
    assert "in a damaged shard" in found
    assert 5 <= sum(isinstance(one, Triple) for one in found) < 8


def test_too_few_triples_are_refused_and_nothing_is_left(tmp_path: Path, autoencoder: TinyAutoencoder) -> None:
    fill_folder(tmp_path / "data", 3)
    source = open_triples(str(tmp_path / "data"))
    assert source is not None
    with pytest.raises(InputError, match="too few triples: 3"):
        cache_triples(tmp_path, source, autoencoder, SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_cache_holds_latents_and_is_made_once(tmp_path: Path, autoencoder: TinyAutoencoder) -> None:
    fill_folder(tmp_path / "data", 20)
    source = open_triples(str(tmp_path / "data"))
    assert source is not None
    reads: list[int] = []
    first = cache_triples(tmp_path, source, autoencoder, SIZE, held_out_every=5, advance=reads.append)
    assert reads[-1] == 20
    reads.clear()
    assert cache_triples(tmp_path, source, autoencoder, SIZE, held_out_every=5, advance=reads.append) == first
    assert reads == []
    cached = CachedTriples(first, 4)
    assert cached.index["triples"] == 16
    held_out = cached.held_out()
    assert held_out.prompts == ("edit 4", "edit 9", "edit 14", "edit 19")
    assert held_out.images.shape == (4, 3, 32, 48)
    seen = set()
    for number in range(60):
        example = cached.example(0, generator(0, number))
        index = int(example.prompt.removeprefix("edit "))
        seen.add(index)
        image = torch.from_numpy(np.asarray(drawing(index + 100).resize(SIZE, Image.Resampling.BICUBIC), np.float32))
        with torch.no_grad():
            expected = autoencoder.encode(image.permute(2, 0, 1)[None] / 127.5 - 1)[0]
        assert float((example.edited - expected).square().mean() / expected.square().mean()) < 0.01
    assert seen == set(range(20)) - {4, 9, 14, 19}

    with torch.no_grad():
        autoencoder.encoder.layers[-1].bias.add_(0.5)
    assert cache_triples(tmp_path, source, autoencoder, SIZE, held_out_every=5) != first
    assert (
        CachedTriples(cache_triples(tmp_path, source, autoencoder, SIZE, held_out_every=5, most=10), 4).index["triples"]
        == 8
    )
