"""CLIP's byte-pair tokenizer, from a vocabulary in CLIP's file format (`vocab.json`, `merges.txt`).

The same ids as transformers' CLIPTokenizer: text is composed (NFC), white space collapsed, lower-cased, split into
words, and every word's UTF-8 bytes, written as printable characters, are merged pair by pair, lowest rank first.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import regex

from mobie_coreml.errors import InputError
from mobie_coreml.models.config import POSITIONS

START = "<|startoftext|>"
END = "<|endoftext|>"
END_OF_WORD = "</w>"

_SPECIAL = regex.compile(r"(<\|startoftext\|>|<\|endoftext\|>)")
# Unicode's White_Space property; the \s of Python's engines also takes the ASCII separators 1C to 1F.
_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACES = regex.compile(rf"[{_SPACE}]+")
_WORD = regex.compile(rf"'s|'t|'re|'ve|'m|'ll|'d|\p{{L}}+|\p{{N}}|[^{_SPACE}\p{{L}}\p{{N}}]+")


@dataclass(frozen=True)
class Encoding:
    """A tokenized prompt.

    `ids` are always 77: start, words, end, then padding (the end token). `count` is how many tokens the prompt needs,
    start and end included; where it is more than 77, `truncated` is true and `ids` end with an end token at the last
    position.
    """

    ids: list[int]
    count: int
    truncated: bool


def byte_alphabet() -> list[str]:
    """The printable character for each of the 256 bytes, as GPT-2 and CLIP write them.

    Printable Latin-1 characters stand for themselves, the others for the characters from U+0100 on, in order.
    """
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    alphabet, following = [], 256
    for byte in range(256):
        if byte in plain:
            alphabet.append(chr(byte))
        else:
            alphabet.append(chr(following))
            following += 1
    return alphabet


class CLIPTokenizer:
    """Encodes prompts.

    Args:
        vocab_path: `vocab.json`: a token to id map with ids 0 to n - 1.
        merges_path: `merges.txt`: a version line, then one pair a line, most important first.

    Raises:
        InputError: a file is missing or broken.
    """

    def __init__(self, vocab_path: Path, merges_path: Path) -> None:
        self.vocab = _read_vocab(vocab_path)
        self.ranks = _read_merges(merges_path, self.vocab)
        self.start_id = self.vocab[START]
        self.end_id = self.vocab[END]
        self._alphabet = byte_alphabet()
        self._words: dict[str, list[int]] = {}

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return len(self.vocab)

    def encode(self, prompt: str, truncate: bool = False) -> Encoding:
        """Tokenizes a prompt into exactly 77 ids.

        Args:
            prompt: Any text; the empty one is the null prompt of guidance.
            truncate: Cut what does not fit instead of refusing it.

        Raises:
            InputError: the prompt needs more than 77 tokens and `truncate` is false, or it is not valid Unicode.
        """
        ids = [self.start_id, *self._ids(prompt), self.end_id]
        count = len(ids)
        truncated = count > POSITIONS
        if truncated:
            if not truncate:
                raise InputError(
                    f"The prompt needs {count} tokens, and {POSITIONS} fit (start and end included).",
                    "Shorten it.",
                )
            ids = [*ids[: POSITIONS - 1], self.end_id]
        return Encoding(ids + [self.end_id] * (POSITIONS - len(ids)), count, truncated)

    def _ids(self, text: str) -> list[int]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f"The prompt is not valid Unicode: {error.reason} at position {error.start}.") from error
        ids: list[int] = []
        for part in _SPECIAL.split(text):
            if part in (START, END):
                ids.append(self.vocab[part])
                continue
            for word in _WORD.findall(_normalise(part)):
                ids.extend(self._word_ids(word))
        return ids

    def _word_ids(self, word: str) -> list[int]:
        known = self._words.get(word)
        if known is None:
            symbols = [self._alphabet[byte] for byte in word.encode("utf-8")]
            symbols[-1] += END_OF_WORD
            # A byte that a vocabulary lacks becomes the end token, CLIP's unknown token.
            known = [self.vocab.get(symbol, self.end_id) for symbol in self._merge(symbols)]
            self._words[word] = known
        return known

    def _merge(self, symbols: list[str]) -> list[str]:
        """Joins, again and again, all neighbours that form the pair of lowest rank."""
        while len(symbols) > 1:
            rank, pair = min((self.ranks.get(pair, len(self.ranks)), pair) for pair in pairwise(symbols))
            if rank == len(self.ranks):
                break
            merged: list[str] = []
            for symbol in symbols:
                if merged and (merged[-1], symbol) == pair:
                    merged[-1] += symbol
                else:
                    merged.append(symbol)
            symbols = merged
        return symbols


def _normalise(text: str) -> str:
    # Lower case character by character: a final sigma stays a plain one, as in transformers.
    composed = _SPACES.sub(" ", unicodedata.normalize("NFC", text))
    return "".join(character.lower() for character in composed)


def _read_vocab(path: Path) -> dict[str, int]:
    try:
        vocab = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"The vocabulary {path} is missing.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The vocabulary {path} cannot be read: {error}.") from error
    if not isinstance(vocab, dict) or not all(type(value) is int for value in vocab.values()):
        raise InputError(f"The vocabulary {path} is not a map from tokens to ids.")
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise InputError(f"The ids of {path} are not 0 to {len(vocab) - 1}, each once.")
    for token in (START, END):
        if token not in vocab:
            raise InputError(f"The vocabulary {path} has no {token}.", "It must be in CLIP's format.")
    return vocab


def _read_merges(path: Path, vocab: dict[str, int]) -> dict[tuple[str, str], int]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise InputError(f"The merges {path} are missing.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"The merges {path} cannot be read: {error}.") from error
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    ranks: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines):
        if not line:
            continue
        pair = tuple(line.rstrip("\r").split(" "))
        if len(pair) != 2 or pair[0] + pair[1] not in vocab:
            raise InputError(f"Merge {number + 1} of {path}, {line!r}, is not a pair whose union is in the vocabulary.")
        ranks.setdefault((pair[0], pair[1]), len(ranks))
    return ranks
