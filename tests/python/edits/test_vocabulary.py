"""The nano vocabulary: made by the committed script, complete, and made of our users' words."""

import importlib.util
import json
from pathlib import Path

import pytest

from mobie_coreml.edits import EDITS
from mobie_coreml.models.tokenizer import END, START, CLIPTokenizer

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "mobie_coreml" / "models" / "vocabulary"


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(FOLDER / "vocab.json", FOLDER / "merges.txt")


def test_the_committed_files_are_what_the_script_makes(tmp_path):
    specification = importlib.util.spec_from_file_location("make_vocabulary", ROOT / "scripts" / "make_vocabulary.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    count = module.make_vocabulary(FOLDER / "text.txt", tmp_path)
    assert count <= 4096
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


def test_ids_are_contiguous_and_the_special_tokens_are_last():
    vocab = json.loads((FOLDER / "vocab.json").read_text(encoding="utf-8"))
    assert sorted(vocab.values()) == list(range(len(vocab)))
    assert vocab[START] == len(vocab) - 2
    assert vocab[END] == len(vocab) - 1
    for line in (FOLDER / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]:
        first, second = line.split(" ")
        assert {first, second, first + second} <= vocab.keys()


def test_words_of_the_instructions_are_single_tokens(tokenizer):
    words = {word for edit in EDITS.values() for phrase in edit.phrases for word in phrase.split()}
    single = [word for word in words if tokenizer.encode(word).count == 3]
    assert len(single) >= 0.98 * len(words), sorted(words - set(single))
    held_out = {word for edit in EDITS.values() for phrase in edit.held_out_phrases for word in phrase.split()}
    single = [word for word in held_out if tokenizer.encode(word).count == 3]
    assert len(single) >= 0.95 * len(held_out), sorted(held_out - set(single))


@pytest.mark.parametrize("text", ["crème brûlée", "日本の冬", "😀 ½ €", "\x7f\x01", "don't, please!", "a1b2"])
def test_every_text_can_be_written_and_read_back(tokenizer, text):
    names = {number: token for token, number in tokenizer.vocab.items()}
    encoding = tokenizer.encode(text)
    written = "".join(names[i] for i in encoding.ids[1 : encoding.count - 1]).replace("</w>", "")
    alphabet = {character: byte for byte, character in enumerate(_byte_characters())}
    assert bytes(alphabet[character] for character in written).decode() == text.replace(" ", "")


def _byte_characters():
    """GPT-2's printable stand-in for each byte, from its definition."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(rest)) for byte in range(256)]
