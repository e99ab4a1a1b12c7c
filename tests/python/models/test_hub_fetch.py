"""Fetching from the hub, with the hub's client replaced: what is asked for, at which commit, and what errors become."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from mobie_coreml.errors import InputError, MobieError, WorkError
from mobie_coreml.models.hub import fetch, is_hub_id
from mobie_coreml.models.import_source import SourceOptions, open_source, open_taesd

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """One repository in a folder; remembers what was asked."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        self.asked: list[tuple[str, str | None]] = []
        self.fetched: list[str] = []
        self.sha: str | None = COMMIT

    def model_info(self, hub_id: str, revision: str | None = None) -> Any:
        self.asked.append((hub_id, revision))
        names = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
        return SimpleNamespace(
            sha=self.sha,
            siblings=[SimpleNamespace(rfilename=name) for name in names],
            card_data=SimpleNamespace(license="mit"),
        )

    def hf_hub_download(self, hub_id: str, name: str, revision: str) -> str:
        assert revision == COMMIT
        return str(self.folder / name)

    def snapshot_download(self, hub_id: str, revision: str, allow_patterns: list[str]) -> str:
        assert revision == COMMIT
        self.fetched = sorted(allow_patterns)
        for name in allow_patterns:
            (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, self.cache / name)
        return str(self.cache)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    (tmp_path / "repository").mkdir()
    fake = FakeHub(tmp_path / "repository", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.hf_hub_download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def fill(folder: Path, names: list[str], text: str = "{}") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


CONFIGS = [
    "README.md",
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "scheduler/scheduler_config.json",
]


def test_only_what_is_needed_is_fetched_and_the_commit_is_recorded(hub: FakeHub) -> None:
    fill(
        hub.folder,
        [
            *CONFIGS,
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.bin",
            "vae/diffusion_pytorch_model.safetensors",
            "text_encoder/model.safetensors",
            "safety_checker/model.safetensors",
            "instruct-pix2pix-00-22000.ckpt",
        ],
    )
    # The weights are empty on purpose: opening them is refused, after everything was chosen and fetched.
    with pytest.raises(InputError, match="safetensors"):
        open_source("owner/name", None, SourceOptions())
    assert hub.asked == [("owner/name", None)]
    weights = ["text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"]
    assert hub.fetched == sorted([*CONFIGS, *weights])


def test_shards_of_a_variant_are_fetched_by_their_index(hub: FakeHub) -> None:
    fill(hub.folder, [*CONFIGS, "unet/one.safetensors", "unet/two.safetensors", "text_encoder/model.fp16.safetensors"])
    index = "unet/diffusion_pytorch_model.safetensors.index.fp16.json"
    fill(hub.folder, [index], '{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')
    with pytest.raises(InputError, match="safetensors"):
        open_source("owner/name", "main", SourceOptions(variant="fp16"))
    assert hub.asked == [("owner/name", "main")]
    assert {"unet/one.safetensors", "unet/two.safetensors", index} <= set(hub.fetched)


def test_pickles_are_not_even_fetched_without_the_flag(hub: FakeHub) -> None:
    fill(hub.folder, [*CONFIGS, "unet/diffusion_pytorch_model.bin", "text_encoder/pytorch_model.bin"])
    with pytest.raises(InputError, match="pickles only"):
        open_source("owner/name", None, SourceOptions())
    assert hub.fetched == []


def test_a_tiny_autoencoder_of_a_source_is_fetched_with_it(hub: FakeHub) -> None:
    fill(hub.folder, [*CONFIGS, "vae/diffusion_pytorch_model.safetensors"])
    fill(hub.folder, ["vae/config.json"], '{"_class_name": "AutoencoderTiny"}')
    with pytest.raises(InputError, match="it lacks text_encoder/ weights, unet/ weights"):
        open_source("owner/name", None, SourceOptions())
    assert "vae/diffusion_pytorch_model.safetensors" in hub.fetched


@pytest.mark.parametrize(
    ("names", "pickle", "fetched"),
    [
        (["config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"], False, 2),
        (["taesd_encoder.safetensors", "taesd_decoder.safetensors", "taesd_encoder.pth"], False, 2),
        (["taesd_encoder.pth", "taesd_decoder.pth"], True, 2),
    ],
)
def test_tiny_autoencoders_of_either_layout(hub: FakeHub, names: list[str], pickle: bool, fetched: int) -> None:
    fill(hub.folder, names)
    with pytest.raises(InputError):
        open_taesd("owner/taesd", None, SourceOptions(allow_pickle=pickle))
    assert hub.fetched == sorted(names[:fetched])


def test_download_says_what_it_is(hub: FakeHub) -> None:
    fill(hub.folder, ["config.json"])
    download = fetch("owner/name", "v1", lambda names, read: names if read("config.json") == "{}" else [])
    assert (download.name, download.revision, download.licence) == ("owner/name", COMMIT, "mit")
    assert (download.folder / "config.json").is_file()


def refusal(kind: type[Exception]) -> Exception:
    """An error of the hub's client without the HTTP response that it wraps."""
    error = kind.__new__(kind)
    error.args = ("refused",)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (refusal(RevisionNotFoundError), InputError, "no revision v9"),
        (refusal(GatedRepoError), InputError, "log-in"),
        (refusal(RepositoryNotFoundError), InputError, "no hub repository owner/name"),
        (ConnectionError("offline"), WorkError, "cannot be fetched from the hub: offline"),
        (Exception(""), WorkError, "cannot be fetched from the hub: Exception"),
    ],
)
def test_errors_of_the_hub_are_ours(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[MobieError], message: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(hub, "model_info", fail)
    with pytest.raises(kind, match=message):
        fetch("owner/name", "v9", lambda names, _: names)


def test_a_hub_that_names_no_commit_is_not_trusted(hub: FakeHub) -> None:
    hub.sha = None
    with pytest.raises(WorkError, match="which commit"):
        fetch("owner/name", None, lambda names, _: names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timbrooks/instruct-pix2pix", True),
        ("./folder", False),
        ("a/b/c", False),
        ("folder", False),
        ("../x", False),
        ("/abs", False),
    ],
)
def test_hub_ids(text: str, expected: bool) -> None:
    assert is_hub_id(text) is expected
