"""The instruction edits, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mobie_coreml.edits import local, style, tone, weather
from mobie_coreml.edits.color import blue_mask, green_mask, red_mask, yellow_mask
from mobie_coreml.edits.edit import Edit, Group
from mobie_coreml.edits.filters import Array
from mobie_coreml.edits.held_out_phrases import HELD_OUT
from mobie_coreml.edits.phrases import PHRASES
from mobie_coreml.errors import InputError

# One affine map of RGB reproduces these (measured by the tests): the baseline of a colour transform is the edit itself.
COLOR_TRANSFORMS = frozenset({"black_and_white", "sepia", "night", "sunset", "negative"})

# Pairs that look nearly alike on many frames (both grey, both dark blue, the same region recoloured).
SIMILAR = (
    ("black_and_white", "only_red"),
    ("black_and_white", "pencil_sketch"),
    ("black_and_white", "marble_statue"),
    ("sepia", "wooden_statue"),
    ("sepia", "desert"),
    ("green_to_red", "green_to_purple"),
    ("green_to_red", "autumn"),
)


def _edit(
    name: str,
    group: Group,
    function: Callable[[Array], Array],
    region: Callable[[Array], Array] | None = None,
) -> Edit:
    similar = {second for first, second in SIMILAR if first == name} | {
        first for first, second in SIMILAR if second == name
    }
    return Edit(
        name=name,
        group=group,
        phrases=PHRASES[name],
        held_out_phrases=HELD_OUT[name],
        function=function,
        region=region,
        is_color_transform=name in COLOR_TRANSFORMS,
        similar=frozenset(similar),
    )


_ALL = (
    _edit("black_and_white", "tone", tone.black_and_white),
    _edit("sepia", "tone", tone.sepia),
    _edit("night", "tone", tone.night),
    _edit("sunset", "tone", tone.sunset),
    _edit("negative", "tone", tone.negative),
    _edit("thermal", "tone", tone.thermal),
    _edit("cyberpunk", "tone", tone.cyberpunk),
    _edit("snow", "weather", weather.snow),
    _edit("fog", "weather", weather.fog),
    _edit("rain", "weather", weather.rain),
    _edit("autumn", "weather", weather.autumn),
    _edit("spring", "weather", weather.spring),
    _edit("desert", "weather", weather.desert),
    _edit("underwater", "weather", weather.underwater),
    _edit("fire", "weather", weather.fire),
    _edit("pencil_sketch", "style", style.pencil_sketch),
    _edit("oil_painting", "style", style.oil_painting),
    _edit("watercolor", "style", style.watercolor),
    _edit("cartoon", "style", style.cartoon),
    _edit("pop_art", "style", style.pop_art),
    _edit("wooden_statue", "style", style.wooden_statue),
    _edit("marble_statue", "style", style.marble_statue),
    _edit("blueprint", "style", style.blueprint),
    _edit("neon_lights", "style", style.neon_lights),
    _edit("green_to_red", "local", local.recolour(green_mask, 0), green_mask),
    _edit("green_to_purple", "local", local.recolour(green_mask, 285), green_mask),
    _edit("red_to_blue", "local", local.recolour(red_mask, 222), red_mask),
    _edit("red_to_green", "local", local.recolour(red_mask, 125), red_mask),
    _edit("blue_to_orange", "local", local.recolour(blue_mask, 28), blue_mask),
    _edit("yellow_to_pink", "local", local.recolour(yellow_mask, 325, saturation=0.6), yellow_mask),
    _edit("only_red", "local", local.only_red, local.everything_but_red),
)

EDITS: dict[str, Edit] = {edit.name: edit for edit in _ALL}


def find_edit(name: str) -> Edit:
    """The edit of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return EDITS[name]
    except KeyError:
        raise InputError(f"There is no edit named {name!r}.", f"Choose one of {', '.join(EDITS)}.") from None


def wrong_instruction(name: str, seed: int) -> str:
    """Draws another edit as a control: never `name` itself nor one whose result is nearly the same.

    Args:
        name: The right edit.
        seed: The same name and seed draw the same edit on every machine.

    Raises:
        InputError: there is no edit of that name.
    """
    right = find_edit(name)
    others = [other for other in EDITS if other != name and other not in right.similar]
    position = list(EDITS).index(name)
    return others[int(np.random.default_rng([seed, position]).integers(len(others)))]
