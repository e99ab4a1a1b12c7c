"""Vocabularies and random weights that the tests of the models share."""

import gzip
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from mobie_coreml.models.random_checkpoint import random_parameter
from mobie_coreml.models.tokenizer import END, START, byte_alphabet


def write_vocabulary(folder: Path, merges: list[str]) -> Path:
    """Writes `vocab.json` and `merges.txt` in CLIP's order: bytes, bytes at the end of a word, merges, specials."""
    alphabet = sorted(byte_alphabet(), key=ord)
    # CLIP lists the bytes that stand for themselves first, then the moved ones, both ascending.
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *(merge.replace(" ", "") for merge in merges)]
    vocab = {token: index for index, token in enumerate([*tokens, START, END])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def clip_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP's own vocabulary, from the file in the wheel of open_clip_torch (the package itself is not imported)."""
    files = importlib.metadata.files("open_clip_torch") or []
    packed = next(file for file in files if file.name == "bpe_simple_vocab_16e6.txt.gz")
    with gzip.open(str(packed.locate()), "rt", encoding="utf-8") as opened:
        lines = opened.read().split("\n")
    # A version line, then the merges in use: 49408 tokens less 512 bytes and 2 specials.
    return write_vocabulary(tmp_path_factory.mktemp("clip"), lines[1 : 49408 - 512 - 2 + 1])


@pytest.fixture(scope="session")
def tiny_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bytes and a few merges: 519 tokens."""
    merges = ["i t</w>", "m a", "k e</w>", "ma ke</w>", "s n"]
    return write_vocabulary(tmp_path_factory.mktemp("tiny"), merges)


@pytest.fixture(scope="session")
def randomise() -> Callable[[nn.Module], nn.Module]:
    """Gives a module random parameters (norms and biases too) and puts it into eval mode."""

    def fill(module: nn.Module) -> nn.Module:
        state = {name: random_parameter(name, name, tuple(value.shape)) for name, value in module.state_dict().items()}
        module.load_state_dict(state)
        return module.eval().requires_grad_(False)

    return fill
