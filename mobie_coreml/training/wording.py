"""Small changes of an instruction's wording that leave its meaning alone, drawn anew at every step."""

from __future__ import annotations

import numpy as np

_DISPENSABLE = """
a an and as be bit by change convert everything from give have here image in into is it just let like look make of on
out photo picture please put scene show so some style that the them then there this to transform turn video whole with
"""
DISPENSABLE = frozenset(_DISPENSABLE.split())
"""Words that an instruction can lose and still be understood."""

OPENINGS = ("please ", "now ", "can you ", "could you please ", "i want you to ", "just ", "let us ")
ENDINGS = (".", "!", " please", " now", ", thanks", "?")


def vary_wording(prompt: str, rng: np.random.Generator) -> str:
    """A variant of `prompt`: dispensable words dropped, an opening or an ending added, letters in another case.

    About half of the variants are the prompt itself. At least one word is always kept.
    """
    if rng.random() < 0.5:
        return prompt
    words = prompt.split()
    kept = [word for word in words if word.lower() not in DISPENSABLE or rng.random() > 0.2]
    varied = " ".join(kept or words)
    if rng.random() < 0.15:
        varied = OPENINGS[rng.integers(len(OPENINGS))] + varied
    if rng.random() < 0.25:
        varied += ENDINGS[rng.integers(len(ENDINGS))]
    drawn = rng.random()
    if drawn < 0.1:
        return varied.upper()
    return varied.capitalize() if drawn < 0.4 else varied
