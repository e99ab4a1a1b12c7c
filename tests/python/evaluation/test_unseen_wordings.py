"""Held-out wordings are out of reach of training, whatever training makes of its own ones."""

import re

from mobie_coreml.edits import EDITS
from mobie_coreml.training.wording import DISPENSABLE, ENDINGS, OPENINGS, vary_wording


def content(phrase: str) -> tuple[str, ...]:
    """The words that training never drops, in their order, without letters' case and punctuation."""
    return tuple(word for word in re.findall(r"[a-z0-9']+", phrase.lower()) if word not in DISPENSABLE)


def bare(phrase: str) -> str:
    """Without what training puts before and after a phrase."""
    phrase = phrase.lower()
    for opening in OPENINGS:
        phrase = phrase.removeprefix(opening)
    for ending in ENDINGS:
        phrase = phrase.removesuffix(ending)
    return phrase


def test_no_held_out_wording_is_a_training_one_after_normalisation():
    trained = {content(phrase): phrase for edit in EDITS.values() for phrase in edit.phrases}
    for edit in EDITS.values():
        own = {frozenset(content(phrase)) for phrase in edit.phrases}
        for phrase in edit.held_out_phrases:
            assert content(phrase) not in trained, (phrase, trained.get(content(phrase)))
            assert frozenset(content(phrase)) not in own, phrase
            assert content(phrase), "there is something left to understand"


def test_held_out_wordings_differ_from_each_other():
    everything = [content(phrase) for edit in EDITS.values() for phrase in edit.held_out_phrases]
    assert len(everything) == len(set(everything))


def test_what_training_makes_of_its_phrases_normalises_to_them():
    """So the comparison above covers every variant."""
    import numpy as np

    rng = np.random.default_rng(0)
    for edit in EDITS.values():
        for phrase in edit.phrases:
            for _ in range(10):
                assert content(bare(vary_wording(phrase, rng))) == content(phrase)
