"""Golden prompts with their ids in the nano vocabulary, by the Python tokenizer.

`tests/vectors/prompts.bin`: a prompt after the other; numbers are little-endian 16-bit words:

    bytes of the text, the text in UTF-8, `count`, number of ids that follow, ids

The ids that follow are those of the encoding without its padding; `count` is what the prompt needs, which is more than
the ids where the prompt was truncated.
"""

from __future__ import annotations

import random
import struct
import unicodedata
from collections.abc import Iterator

from mobie_coreml.models.checkpoint_files import VOCABULARY
from mobie_coreml.models.tokenizer import END, START, CLIPTokenizer

PATH = "tests/vectors/prompts.bin"
COUNT = 10_000

CHOSEN = (
    "",
    " ",
    "make it snow",
    "In Monet's style, please!",
    "add snow\u2026   and\tfog\r\n",
    "he'll say it's they've I'm don't you're I'd 'S 'LL ''s !'s",
    "4K 8k 1234 x\u00b2 \u00bd \u2167 \u0663",
    "\u00c4\u00d6\u00dc Stra\u00dfe \u0130stanbul \u03a3\u0391\u03a3 \u038c\u03a3\u039f\u03a3 \u01c5 \u1e9e",
    "e\u0301 vs \u00e9, \u1e9b\u0323, a\u0323\u0307 = a\u0307\u0323, \u212b \u2126 \u0344 \u0958",
    "\u65e5\u672c\u306e\u96ea \u0441\u043d\u0435\u0433 \u0939\u093f\u092e\u092a\u093e\u0924 \ub208 \u1102\u116e\u11ab",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f3fd \U0001f1e9\U0001f1ea \u2744\ufe0f",
    "\u0627\u062c\u0639\u0644\u0647\u0627 \u062a\u062b\u0644\u062c \u05d4\u05e4\u05d5\u05da \u05dc\u05e9\u05dc\u05d2",
    "\ufb01lm \ufb03ne \ufefb \u0132sland \u2460 \u33a5 \uff21\uff42",
    "a\u00a0b\u2003c\u3000d\u1680e\u2028f\x85g\x1ch\x1fi\u200bj\ufeffk\x0bl\x0cm",
    f"{START}a{END} b {START.upper()} <|endoftext|x <|",
    "\x00\x01\x7f\u0378 \ufffe \U0010ffff",
    "&amp; &lt;b&gt; caf&eacute; &#39;s &quot;",
    "a_b-c--d...e//f@@g#h \u2019s \u201cquoted\u201d \u2013 dash",
    "supercalifragilisticexpialidocious",
    "snow " * 75,
    "snow " * 76,
    "1 " * 90,
    "\U0001f600" * 40,
)

_WORDS_TEXT = """
    make turn change it the him into add remove snow desert night winter autumn watercolor oil painting
    van gogh's style rainy foggy sunset golden hour cyberpunk neon anime sketch charcoal statue wooden
    marble beach forest city don't it's they're 80s 4k 3d b&w high-contrast half-dark, bright!
    cinematic?
"""
_WORDS = tuple(_WORDS_TEXT.split())
_ENTITIES = ("&amp;", "&lt;", "&gt;", "&#39;", "&quot;", "&nbsp;", "&eacute;", "&#x1F600;")
_PIECES = ("'s", "'LL", "''", "e\u0301", "\u0130", "\u03a3", START, END, "<|", "\r\n", "\t", "  ", "\u200d", "\ufe0f")


def is_settled(character: str) -> bool:
    """Whether every version of Unicode's tables since 3.2 agrees on a character, or it is a pictograph."""
    return 0x1F000 <= ord(character) < 0x1FB00 or unicodedata.ucd_3_2_0.category(character) not in ("Cn", "Cs")


def prompts(count: int = COUNT) -> list[str]:
    """The chosen ones, every settled character once, and random ones of several kinds."""
    source = random.Random(77)
    settled = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and is_settled(chr(code))]
    # Ideographs and syllables are alike among themselves: a few stand for all of them.
    plain = [one for one in settled if not _is_bulk(one)]
    blocks = [one for one in plain if ord(one) > 0x7F]
    bulk = [one for one in settled if _is_bulk(one)]
    made = list(CHOSEN)
    made += ["".join(blocks[start : start + 24]) for start in range(0, len(blocks), 24)]
    while len(made) < count:
        made.append(_random(source, blocks, bulk))
    return made[:count]


def _is_bulk(character: str) -> bool:
    code = ord(character)
    return 0x3400 <= code < 0xA000 or 0xAC00 <= code < 0xD7A4 or code >= 0x20000 or 0xE000 <= code < 0xF900


def _random(source: random.Random, blocks: list[str], bulk: list[str]) -> str:
    kind = source.randrange(10)
    if kind < 4:
        words = [source.choice(_WORDS) for _ in range(source.randint(2, 12))]
        return " ".join(word.upper() if source.random() < 0.1 else word for word in words)
    if kind == 4:
        length = source.randint(1, 40)
        return "".join(chr(source.randrange(0x250)) for _ in range(length))
    if kind == 5:
        return "".join(source.choice((source.choice(blocks), source.choice(bulk), " ")) for _ in range(12))
    if kind == 6:
        return "".join(source.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(source.randint(1, 30)))
    if kind == 7:
        # A base letter and marks in any order: composition and canonical order.
        marks = [chr(code) for code in range(0x300, 0x346)]
        return "".join(
            source.choice("aeiouAEIOUcnsz\u0391\u03c9\u0418") + "".join(source.choices(marks, k=source.randint(0, 3)))
            for _ in range(6)
        )
    if kind == 8:
        return "".join(source.choice((*_PIECES, *_ENTITIES, source.choice(_WORDS), " ")) for _ in range(10))
    return " ".join(source.choice(_WORDS) for _ in range(source.choice((20, 70, 80))))[: source.randint(40, 300)]


def make() -> Iterator[tuple[str, bytes]]:
    """The file."""
    tokenizer = CLIPTokenizer(VOCABULARY / "vocab.json", VOCABULARY / "merges.txt")
    content = bytearray()
    for prompt in prompts():
        encoding = tokenizer.encode(prompt, truncate=True)
        text, ids = prompt.encode(), encoding.ids[: encoding.count]
        content += struct.pack("<H", len(text)) + text + struct.pack(f"<HH{len(ids)}H", encoding.count, len(ids), *ids)
    yield PATH, bytes(content)
