"""What an instruction edit is: words, and the function of a photograph that those words ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mobie_coreml.edits.filters import Array
from mobie_coreml.errors import InputError

Group = Literal["tone", "weather", "style", "local"]
GROUPS: tuple[Group, ...] = ("tone", "weather", "style", "local")


@dataclass(frozen=True)
class Edit:
    """An instruction with a known result.

    Attributes:
        name: Identifier, `snake_case`.
        group: tone (whole-frame colour), weather (weather, season, light, place), style, or local.
        phrases: Wordings for training; the first is the canonical one.
        held_out_phrases: Wordings that training never sees.
        function: The full edit of a float32 RGB photograph (H, W, 3), 0..1.
        region: For local edits, the plane (H, W), 0..1, of what changes.
        is_color_transform: Whether one affine map of RGB per frame can express the edit (the evaluation's baseline
            of a colour transform then is the edit itself, so the two aren't compared).
        similar: Names of edits whose result is nearly the same on many frames; never drawn as the wrong instruction.
    """

    name: str
    group: Group
    phrases: tuple[str, ...]
    held_out_phrases: tuple[str, ...]
    function: Callable[[Array], Array]
    region: Callable[[Array], Array] | None = None
    is_color_transform: bool = False
    similar: frozenset[str] = frozenset()

    def apply(self, image: Array, strength: float = 1.0) -> Array:
        """The edited photograph: (1 - strength) * image + strength * full edit.

        A function of the photograph and the strength alone: the same inputs give the same bytes.

        Args:
            image: float32 RGB (H, W, 3), 0..1, at least 8x8.
            strength: 0 leaves the photograph unchanged, 1 is the full edit.

        Returns:
            A new float32 array of the same shape, 0..1.

        Raises:
            InputError: shape, dtype or strength is out of range.
        """
        _check(image)
        if not 0 <= strength <= 1:
            raise InputError(f"The strength of an edit is {strength}.", "Choose one from 0 to 1.")
        if strength == 0:
            return image.copy()
        full = np.clip(self.function(image), 0, 1).astype(np.float32, copy=False)
        if strength == 1:
            return full
        return np.asarray(image + (full - image) * np.float32(strength), dtype=np.float32)

    def mask(self, image: Array) -> Array:
        """How far each pixel of the photograph belongs to what changes: float32 (H, W), 0..1, all 1 unless local."""
        _check(image)
        if self.region is None:
            return np.ones(image.shape[:2], dtype=np.float32)
        return self.region(image)


def _check(image: Array) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or min(image.shape[:2]) < 8:
        raise InputError(
            f"An edit got an image of shape {image.shape} and type {image.dtype}.",
            "Pass float32 RGB of shape (H, W, 3), values 0 to 1, at least 8x8.",
        )
