"""Golden values in tests/vectors/ and generated Swift sources: the generator makes them, and Python itself agrees."""

from __future__ import annotations

import json
import math
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import CLIPTokenizer as TransformersTokenizer

from mobie_coreml.diffusion.noise import philox
from mobie_coreml.manifest.read import ManifestError, parse_manifest
from mobie_coreml.models.checkpoint_files import VOCABULARY

ROOT = Path(__file__).resolve().parents[3]
TABLES = "ios_app/Sources/MobieCore/Tokenizer/UnicodeTables.swift"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the generator makes now, by path."""
    folder = tmp_path_factory.mktemp("vectors")
    command = [sys.executable, str(ROOT / "scripts" / "make_vectors.py"), "--output", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_generator_makes_what_is_there(made: dict[str, bytes]) -> None:
    assert len(made) == 8
    stale = [name for name in made.keys() - {TABLES} if (ROOT / name).read_bytes() != made[name]]
    assert stale == [], "run scripts/make_vectors.py"
    assert sum(len(content) for name, content in made.items() if name.startswith("tests/")) < 1_700_000


def entries(source: str) -> dict[str, set[str]]:
    """The tables of a Swift source: of ranges every code point, of the others every entry with its code point."""
    found: dict[str, set[str]] = {}
    for name, body in re.findall(r'static let (\w+) = """\n(.*?)"""', source, re.DOTALL):
        position, items = 0, set()
        for word in body.split():
            head, colon, tail = word.partition(":")
            if colon:
                position += int(head, 16)
                items.add(f"{position:x}:{tail}")
            elif "." in word:
                gap, length, *value = (int(part, 16) for part in word.split("."))
                position += gap
                items |= {f"{position + offset:x}.{value}" for offset in range(length + 1)}
                position += length
            else:
                items.add(word)
        found[name] = items
    return found


def test_tables_are_those_of_this_python_or_of_its_neighbours(made: dict[str, bytes]) -> None:
    """Newer versions of Unicode add characters; what older ones say of a character stays."""
    here, now = entries((ROOT / TABLES).read_text(encoding="utf-8")), entries(made[TABLES].decode())
    assert here.keys() == now.keys()
    assert len(here) == 6
    for name in here:
        assert here[name] <= now[name] or now[name] <= here[name], name


def manifest_cases() -> Iterator[tuple[dict[str, Any], str]]:
    corpus = json.loads((ROOT / "tests/vectors/manifests.json").read_text(encoding="utf-8"))
    for case in corpus["cases"]:
        text = corpus["bases"][case["base"]].encode()
        start, end = case["at"], case["at"] + case["removed"]
        yield case, (text[:start] + case["inserted"].encode() + text[end:]).decode()


def test_the_corpus_of_manifests_ends_as_it_says() -> None:
    """Every fifth case; the generator's comparison covers all of them."""
    cases = list(manifest_cases())
    assert len(cases) > 450
    for case, text in cases[::5]:
        if not case["kind"]:
            parse_manifest(text)
            continue
        with pytest.raises(ManifestError) as caught:
            parse_manifest(text)
        assert case["field"] in caught.value.message, case["name"]


def golden_prompts() -> Iterator[tuple[str, int, list[int]]]:
    """Prompts of prompts.bin, their counts and ids without padding."""
    content, at = (ROOT / "tests/vectors/prompts.bin").read_bytes(), 0
    while at < len(content):
        (size,) = struct.unpack_from("<H", content, at)
        prompt = content[at + 2 : at + 2 + size].decode()
        at += 2 + size
        count, number = struct.unpack_from("<HH", content, at)
        yield prompt, count, list(struct.unpack_from(f"<{number}H", content, at + 4))
        at += 4 + 2 * number


def test_golden_prompts_have_the_ids_of_transformers() -> None:
    """The chosen ones, the characters, and some of the random ones."""
    theirs = TransformersTokenizer(str(VOCABULARY / "vocab.json"), str(VOCABULARY / "merges.txt"))
    golden = list(golden_prompts())
    assert len(golden) == 10_000
    sample = golden[:600] + golden[600::10]
    encoded = theirs([prompt for prompt, _, _ in sample]).input_ids
    for (prompt, count, ids), expected in zip(sample, encoded, strict=True):
        assert count == len(expected), prompt
        assert ids == (expected if count <= 77 else [*expected[:76], expected[-1]]), prompt


def test_numbers_next_to_a_middle_do_not_depend_on_the_library() -> None:
    """The C library's logarithm, sine and cosine round them to the same half-precision bits as NumPy's own."""
    golden = json.loads((ROOT / "tests/vectors/noise.json").read_text(encoding="utf-8"))["close"]
    assert len(golden) == 24
    for case in golden:
        seed, stream, block = int(case["seed"]), int(case["stream"]), case["block"]
        counter = tuple(np.array([word], np.uint64) for word in (block, 0, stream, 0))
        words = [int(word[0]) for word in philox((seed, 0), counter)]  # type: ignore[arg-type]
        first = 2 * (case["number"] // 2)
        radius = math.sqrt(-2.0 * math.log((words[first] + 1.0) * 2.0**-32))
        angle = (2.0 * math.pi) * (words[first + 1] * 2.0**-32)
        value = radius * (math.sin(angle) if case["number"] % 2 else math.cos(angle))
        assert int(np.float64(value).astype(np.float16).view(np.uint16)) == case["bits"]
