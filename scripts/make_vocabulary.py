"""Makes the nano vocabulary: trains byte-pair merges on text.txt and writes vocab.json and merges.txt beside it.

    python scripts/make_vocabulary.py [--output FOLDER]

The files are in CLIP's format: the 256 byte characters, the same with `</w>` at the end of a word, one token a merge,
and the two special tokens last. Every byte has a token, so every text can be written. Byte-pair encoding after
Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", 2016. The same text gives
the same bytes: the most frequent pair is merged first, equals in the order of their characters.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from mobie_coreml.models.tokenizer import END, END_OF_WORD, START, byte_alphabet

FOLDER = Path(__file__).resolve().parents[1] / "mobie_coreml" / "models" / "vocabulary"
SIZE = 4096

_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")
_SLOT = re.compile(r"\{(\w+)\}")


def read_text(path: Path) -> list[str]:
    """Every sentence of the text: templates with their slots filled, then the sentences as they stand.

    A template is written once for every word of its longest list; the other slots run through theirs alongside.
    """
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("["):
            current = sections.setdefault(line.strip("[] "), [])
        else:
            current.append(line.strip())
    templates, sentences = sections.pop("templates"), sections.pop("sentences")
    lists = {name: [w.replace("_", " ") for line in lines for w in line.split()] for name, lines in sections.items()}
    filled = []
    for template in templates:
        slots = _SLOT.findall(template)
        for number in range(max(len(lists[slot]) for slot in slots)):
            values = iter(lists[slot][(number + 7 * place) % len(lists[slot])] for place, slot in enumerate(slots))
            filled.append(_SLOT.sub(lambda _, values=values: next(values), template))  # type: ignore[misc]
    return filled + sentences


def train_merges(sentences: list[str], count: int) -> list[tuple[str, str]]:
    """At most `count` byte-pair merges, most frequent pair first; fewer when every word has become one token."""
    alphabet = byte_alphabet()
    frequencies = Counter(word for sentence in sentences for word in _WORD.findall(sentence.lower()))
    words: list[tuple[list[str], int]] = []
    for word, frequency in sorted(frequencies.items()):
        symbols = [alphabet[byte] for byte in word.encode()]
        symbols[-1] += END_OF_WORD
        words.append((symbols, frequency))
    totals: Counter[tuple[str, str]] = Counter()
    holders: dict[tuple[str, str], set[int]] = defaultdict(set)
    for index, (symbols, frequency) in enumerate(words):
        for pair in pairwise(symbols):
            totals[pair] += frequency
            holders[pair].add(index)
    merges: list[tuple[str, str]] = []
    while len(merges) < count and totals:
        best = min(totals, key=lambda pair: (-totals[pair], pair))
        merges.append(best)
        for index in sorted(holders[best]):
            symbols, frequency = words[index]
            for pair in pairwise(symbols):
                totals[pair] -= frequency
                holders[pair].discard(index)
                if totals[pair] == 0:
                    del totals[pair]
            symbols = _merge(symbols, best)
            words[index] = (symbols, frequency)
            for pair in pairwise(symbols):
                totals[pair] += frequency
                holders[pair].add(index)
    return merges


def _merge(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        # A symbol made by this merge never starts another one: `merged[-1]` then is longer than `pair[0]`.
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def make_vocabulary(text: Path, output: Path) -> int:
    """Writes `vocab.json` and `merges.txt` to `output`; returns the number of tokens, at most 4096."""
    alphabet = byte_alphabet()
    characters = sorted(alphabet)  # CLIP's order: printable characters first, then the stand-ins from U+0100 on
    tokens = characters + [character + END_OF_WORD for character in characters]
    merges = train_merges(read_text(text), SIZE - len(tokens) - 2)
    tokens += [*dict.fromkeys(first + second for first, second in merges), START, END]
    output.mkdir(parents=True, exist_ok=True)
    vocab = {token: number for number, token in enumerate(tokens)}
    (output / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges)]
    (output / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(vocab)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Makes the nano vocabulary from text.txt.")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for vocab.json and merges.txt")
    arguments = parser.parse_args()
    print(f"{make_vocabulary(FOLDER / 'text.txt', arguments.output)} tokens")


if __name__ == "__main__":
    main()
