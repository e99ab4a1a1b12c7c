"""Which instruction is tried on which frame, and which wrong instruction beside it."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mobie_coreml.edits import EDITS, Edit, find_edit, wrong_instruction
from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.frames import EvaluationFrame
from mobie_coreml.evaluation.metrics import psnr

Phrases = Literal["canonical", "training", "held-out"]
VISIBLE_DB = 30.0
"""An edit has something to do on a frame where source to truth is below this."""
DIFFERENT_DB = 24.0
"""A wrong instruction asks for another picture where its truth to the right one is below this: by more than the error
of a small autoencoder, which would hide the difference otherwise."""

_MOST_DRAWS = 200


@dataclass(frozen=True)
class Unseen:
    """The same two instructions in wordings that training never saw."""

    phrase: str
    wrong_phrase: str


@dataclass(frozen=True)
class Pair:
    """A frame with the right instruction for a known truth, and a wrong one that asks for something else there.

    `unseen` is None where the pair is tried in one wording alone.
    """

    frame: EvaluationFrame
    edit: Edit
    phrase: str
    wrong: Edit
    wrong_phrase: str
    unseen: Unseen | None = None


def draw_pairs(
    frames: Sequence[EvaluationFrame],
    instructions: Iterable[str] | None = None,
    *,
    per_instruction: int,
    phrases: Phrases = "canonical",
    unseen: int = 0,
    seed: int = 0,
) -> list[Pair]:
    """Draws up to `per_instruction` frames of every source for every instruction.

    Frames on which the edit has nothing to do (no red thing to recolour) are passed over: their truth is the source.

    Args:
        frames: Of all sources.
        instructions: Names of edits, None for all.
        per_instruction: Pairs of one source and one instruction.
        phrases: The canonical wording, one that training used, or one that it never saw.
        unseen: So many of the pairs of one source and one instruction are tried in an unseen wording too; those of an
            instruction take its held-out wordings in turn.
        seed: The same arguments draw the same pairs.

    Returns:
        Pairs in the order of the frames.

    Raises:
        InputError: a name or kind of phrases is unknown, or no instruction has anything to do anywhere.
    """
    if phrases not in get_args(Phrases):
        raise InputError(f"--phrases {phrases} is unknown.", f"Choose one of {', '.join(get_args(Phrases))}.")
    edits = [find_edit(name) for name in dict.fromkeys(EDITS if instructions is None else instructions)]
    order = {id(frame): place for place, frame in enumerate(frames)}
    sources = list(dict.fromkeys(frame.source for frame in frames))
    pairs: list[Pair] = []
    turns = Counter[str]()
    for source in sources:
        own = [frame for frame in frames if frame.source == source]
        for edit in edits:
            rng = np.random.default_rng([seed, zlib.crc32(source.encode()), zlib.crc32(edit.name.encode())])
            found = 0
            for number in rng.permutation(len(own)):
                if found == per_instruction:
                    break
                frame = own[int(number)]
                truth = edit.apply(frame.image)
                if psnr(frame.image, truth) < VISIBLE_DB:
                    wrong = _wrong(edit, frame, truth, rng)
                    other = None
                    if found < unseen:
                        other = Unseen(_in_turn(edit, turns[edit.name]), _in_turn(wrong, turns[edit.name]))
                        turns[edit.name] += 1
                    words = _phrase(edit, phrases, rng), _phrase(wrong, phrases, rng)
                    pairs.append(Pair(frame, edit, words[0], wrong, words[1], other))
                    found += 1
    if not pairs:
        raise InputError("No instruction has anything to do on these frames.", "Give other frames or instructions.")
    return sorted(pairs, key=lambda pair: order[id(pair.frame)])


def _wrong(edit: Edit, frame: EvaluationFrame, truth: np.ndarray, rng: np.random.Generator) -> Edit:
    """Another edit whose truth on this frame is another picture; the last one drawn where none is found."""
    for _ in range(_MOST_DRAWS):
        other = EDITS[wrong_instruction(edit.name, int(rng.integers(2**31)))]
        if psnr(other.apply(frame.image), truth) < DIFFERENT_DB:
            break
    return other


def _phrase(edit: Edit, phrases: Phrases, rng: np.random.Generator) -> str:
    if phrases == "canonical":
        return edit.phrases[0]
    return str(rng.choice(edit.phrases if phrases == "training" else edit.held_out_phrases))


def _in_turn(edit: Edit, turn: int) -> str:
    return edit.held_out_phrases[turn % len(edit.held_out_phrases)]
