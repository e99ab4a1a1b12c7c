"""Calls of the five components, each on its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mobie_coreml.editing.backend import Array
from mobie_coreml.editing.editor import Editor
from mobie_coreml.errors import InputError
from mobie_coreml.manifest.content import COMPONENT_NAMES
from mobie_coreml.serving.message import Value


def call_component(editor: Editor, component: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """Runs a component once.

    Images are (H, W, 3) uint8 RGB, rounded as `mobie edit` rounds them; all other outputs are float32 as computed.
    Numbers of other types are cast to what the component takes; ids must be integers.

    Args:
        editor: Of the model.
        component: One of the five.
        values: Its inputs by name.

    Raises:
        InputError: an input is missing or unknown, or has a shape or type that the component does not take.
        PackageError: the component cannot be loaded.
        WorkError: the component failed, or returned values that are no numbers.
    """
    if component not in COMPONENT_NAMES:
        raise InputError(f"There is no component {component}.", f"Components are {', '.join(COMPONENT_NAMES)}.")
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    wanted = editor.backend.inputs(component)
    if set(arrays) != set(wanted) or len(arrays) != len(values):
        raise InputError(f"{component} was given {_listed(values)}.", f"It takes arrays named {_listed(wanted)}.")
    if component == "TextEncoder" and arrays["input_ids"].dtype.kind == "f":
        raise InputError("The ids are no integers.", "They are int32 (1, positions).")
    if component == "Encoder":
        return {"image_latents": editor.encode(_frame(arrays["frame"]))}
    if component == "Decoder":
        return {"edited_frame": editor.decode(arrays["denoised_latents"])}
    outputs: dict[str, Value] = {**editor.backend.run(component, arrays)}
    return outputs


def _frame(array: Array) -> Array:
    if array.dtype != np.uint8 or array.shape[2:] != (3,):
        raise InputError(f"The frame is {array.dtype} {list(array.shape)}.", "Frames are uint8 (height, width, 3) RGB.")
    return array


def _listed(names: Mapping[str, Value] | tuple[str, ...]) -> str:
    return ", ".join(sorted(names)) or "nothing"
