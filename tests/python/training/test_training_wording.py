"""Variants of an instruction's wording."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.edits import EDITS
from mobie_coreml.training.photos import generator
from mobie_coreml.training.wording import DISPENSABLE, vary_wording


@settings(max_examples=100, deadline=None)
@given(
    prompt=st.sampled_from([phrase for edit in EDITS.values() for phrase in edit.phrases]), seed=st.integers(0, 2**32)
)
def test_words_that_matter_stay_in_order(prompt: str, seed: int) -> None:
    varied = vary_wording(prompt, generator(seed)).lower()
    assert varied.strip()
    position = 0
    for word in (word for word in prompt.lower().split() if word not in DISPENSABLE):
        position = varied.index(word, position) + len(word)


def test_about_half_stay_as_they_are_and_the_others_differ() -> None:
    variants = [vary_wording("make the green things red", generator(0, index)) for index in range(400)]
    assert 0.4 < variants.count("make the green things red") / 400 < 0.75
    assert len(set(variants)) > 30


def test_a_prompt_of_dispensable_words_alone_survives() -> None:
    assert all(vary_wording("make it", generator(0, index)).strip() for index in range(100))
