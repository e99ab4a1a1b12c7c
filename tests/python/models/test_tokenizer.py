"""The tokenizer against transformers' CLIPTokenizer on CLIP's own vocabulary, and its errors."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer as TransformersTokenizer

from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint_files import VOCABULARY
from mobie_coreml.models.tokenizer import END, START, CLIPTokenizer, byte_alphabet

PROMPTS = [
    "",
    "make it desert",
    "In Monet's style, please!",
    "turn him into a wooden statue",
    "add snow…   and\tfog\n",
    "he'll say it's they've I'm don't you're I'd",
    "'s 'S ''s !'s ('t",
    "4K 8k 1234 x² ½ Ⅷ ٣",
    "ÄÖÜ Straße İstanbul ΣΑΣ ΌΣΟΣ",
    "e\u0301 vs é, \u1e9b\u0323",
    "日本の雪 снег ثلج हिमपात 눈",
    "👩‍👩‍👧‍👦🏽 🇩🇪 ❄️",
    "a\u00a0b\u2003c\u3000d\u1680e\u2028f\x85g\x1ch\x1fi\u200bj\ufeffk",
    f"{START}a{END} b",
    "<|StartOfText|> <|endoftext|x",
    "\x00\x01\x7f\u0378",
    "a_b-c--d...e//f@@g#h",
    "supercalifragilisticexpialidocious",
    "’s “quoted” – dash — dash",
]


def is_settled(character: str) -> bool:
    """Whether every library's tables agree on a character: known since Unicode 3.2, or a pictograph.

    Letters that were assigned lately are letters to one library and unknown to another.
    """
    return 0x1F000 <= ord(character) < 0x1FB00 or unicodedata.ucd_3_2_0.category(character) not in ("Cn", "Cs")


SETTLED = st.characters(exclude_categories=("Cs",)).filter(is_settled)
PIECES = st.one_of(
    st.text(SETTLED, max_size=6),
    st.text(st.characters(max_codepoint=0x24F), max_size=8),
    st.sampled_from([" ", "  ", "\n", "'s", "'LL", "it's", START, END, "<|", "snow", "Make", "e\u0301", "\u0130", "Σ"]),
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=14),
)


@pytest.fixture(scope="module")
def pair(clip_vocabulary: Path) -> tuple[CLIPTokenizer, TransformersTokenizer]:
    ours = CLIPTokenizer(clip_vocabulary / "vocab.json", clip_vocabulary / "merges.txt")
    return ours, TransformersTokenizer.from_pretrained(clip_vocabulary)


@pytest.fixture(scope="module")
def embedded_pair() -> tuple[CLIPTokenizer, TransformersTokenizer]:
    ours = CLIPTokenizer(VOCABULARY / "vocab.json", VOCABULARY / "merges.txt")
    return ours, TransformersTokenizer(str(VOCABULARY / "vocab.json"), str(VOCABULARY / "merges.txt"))


def assert_same(pair: tuple[CLIPTokenizer, TransformersTokenizer], prompt: str) -> None:
    ours, theirs = pair
    encoding = ours.encode(prompt, truncate=True)
    expected = theirs(prompt, padding="max_length", max_length=77, truncation=True).input_ids
    assert encoding.ids == expected, prompt
    assert encoding.count == len(theirs(prompt).input_ids)
    assert encoding.truncated == (encoding.count > 77)


def test_known_ids(pair: tuple[CLIPTokenizer, TransformersTokenizer]) -> None:
    """Ids that CLIP is known by."""
    encoding = pair[0].encode("a photo of a cat")
    assert encoding.ids[:8] == [49406, 320, 1125, 539, 320, 2368, 49407, 49407]
    assert (len(encoding.ids), encoding.count, encoding.truncated) == (77, 7, False)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_chosen_prompts_are_those_of_transformers(
    pair: tuple[CLIPTokenizer, TransformersTokenizer], prompt: str
) -> None:
    assert_same(pair, prompt)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_embedded_vocabulary_works_in_transformers_too(
    embedded_pair: tuple[CLIPTokenizer, TransformersTokenizer], prompt: str
) -> None:
    assert_same(embedded_pair, prompt)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, max_size=12))
@example(pieces=["a " * 200])
def test_any_prompt_is_that_of_transformers(
    pair: tuple[CLIPTokenizer, TransformersTokenizer], pieces: list[str]
) -> None:
    assert_same(pair, "".join(pieces))


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None)
@given(pieces=st.lists(PIECES, max_size=30))
def test_any_prompt_is_that_of_transformers_at_length(
    pair: tuple[CLIPTokenizer, TransformersTokenizer], pieces: list[str]
) -> None:
    assert_same(pair, "".join(pieces))


@pytest.mark.slow
def test_every_character_is_treated_as_by_transformers(pair: tuple[CLIPTokenizer, TransformersTokenizer]) -> None:
    ours, theirs = pair
    characters = filter(is_settled, map(chr, range(0x110000)))
    texts = [f"a{character}b {character} x{character}" for character in characters]
    for start in range(0, len(texts), 10_000):
        piece = texts[start : start + 10_000]
        for text, expected in zip(piece, theirs(piece).input_ids, strict=True):
            assert ours.encode(text).ids[: len(expected)] == expected, f"U+{ord(text[1]):04X}"


def test_a_long_prompt_is_refused_or_cut_and_says_so(pair: tuple[CLIPTokenizer, TransformersTokenizer]) -> None:
    tokenizer = pair[0]
    assert tokenizer.encode("snow " * 75).truncated is False
    with pytest.raises(InputError, match="needs 78 tokens, and 77 fit"):
        tokenizer.encode("snow " * 76)
    cut = tokenizer.encode("snow " * 76, truncate=True)
    assert cut.truncated
    assert cut.count == 78
    assert cut.ids == tokenizer.encode("snow " * 75).ids


def test_a_byte_that_the_vocabulary_lacks_is_the_unknown_token(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "a</w>": 1, START: 2, END: 3}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(tmp_path / "vocab.json", tmp_path / "merges.txt")
    theirs = TransformersTokenizer.from_pretrained(tmp_path)
    assert tokenizer.encode("aab").ids[:5] == [2, 0, 0, 3, 3] == theirs("aab").input_ids


def test_half_a_character_is_refused(tiny_vocabulary: Path) -> None:
    tokenizer = CLIPTokenizer(tiny_vocabulary / "vocab.json", tiny_vocabulary / "merges.txt")
    with pytest.raises(InputError, match="not valid Unicode"):
        tokenizer.encode("snow \ud83d")


def test_the_alphabet_is_reversible() -> None:
    alphabet = byte_alphabet()
    assert len(set(alphabet)) == 256
    assert all(letter.isprintable() and not letter.isspace() for letter in alphabet)
    assert alphabet[ord("A")] == "A"
    assert alphabet[ord(" ")] == "Ġ"


@pytest.mark.parametrize(
    ("vocab", "merges", "message"),
    [
        (None, "", "vocab.json is missing"),
        ("{", "", "cannot be read"),
        ("[]", "", "not a map"),
        ('{"a": "0"}', "", "not a map"),
        ('{"a": true}', "", "not a map"),
        ('{"a": 0, "b": 2}', "", "are not 0 to 1"),
        ('{"a": 0, "b": 0}', "", "are not 0 to 1"),
        ('{"a": 0}', "", "has no <|startoftext|>"),
        (f'{{"a": 0, "{START}": 1}}', "", "has no <|endoftext|>"),
        (f'{{"a": 0, "{START}": 1, "{END}": 2}}', None, "merges.txt are missing"),
        (f'{{"a": 0, "{START}": 1, "{END}": 2}}', "#version: 0.2\na a\n", "Merge 1 of"),
        (f'{{"a": 0, "{START}": 1, "{END}": 2}}', "a\n", "not a pair"),
        (f'{{"a": 0, "{START}": 1, "{END}": 2}}', b"\xff\xfe", "cannot be read"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, vocab: str | None, merges: str | bytes | None, message: str) -> None:
    if vocab is not None:
        (tmp_path / "vocab.json").write_text(vocab)
    if merges is not None:
        (tmp_path / "merges.txt").write_bytes(merges if isinstance(merges, bytes) else merges.encode())
    with pytest.raises(InputError) as caught:
        CLIPTokenizer(tmp_path / "vocab.json", tmp_path / "merges.txt")
    assert message in str(caught.value)
