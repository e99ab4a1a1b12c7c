"""Inputs and outputs as a package's description declares them, and the arrays that users give for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mobie_coreml.errors import InputError
from mobie_coreml.runtime.base import Arrays, TensorInfo
from palettization.errors import PackageError

_DTYPES = {"FLOAT16": "float16", "FLOAT32": "float32", "DOUBLE": "float64", "INT32": "int32", "INT8": "int8"}
_COLORS = {"RGB": "RGB", "BGR": "BGR", "GRAYSCALE": "GRAY", "GRAYSCALE_FLOAT16": "GRAY"}


def describe(features: Any) -> dict[str, TensorInfo]:
    """The tensors among a description's `input` or `output` features, by name.

    Raises:
        PackageError: a feature is neither an array nor an image, or its shape isn't one.
    """
    infos = {}
    for feature in features:
        kind = feature.type.WhichOneof("Type")
        if kind == "imageType":
            infos[feature.name] = _image(feature)
        elif kind == "multiArrayType":
            infos[feature.name] = _array(feature)
        elif kind in ("stringType", "int64Type", "dictionaryType"):
            # What a classifier adds to its probabilities; see ops_classify.
            infos[feature.name] = TensorInfo(
                feature.name, (), {"stringType": "string"}.get(kind, kind.removesuffix("Type"))
            )
        else:
            raise PackageError(
                f"{feature.name!r} is a {kind or 'feature without a type'}, which the executor cannot take or give.",
                "Use arrays and images.",
            )
    return infos


def _image(feature: Any) -> TensorInfo:
    image = feature.type.imageType
    spaces = image.DESCRIPTOR.fields_by_name["colorSpace"].enum_type.values_by_number
    space = spaces[image.colorSpace].name if image.colorSpace in spaces else ""
    if space not in _COLORS:
        raise PackageError(f"Image {feature.name!r} has no known colour space.")
    channels = 1 if _COLORS[space] == "GRAY" else 3
    flexible = image.WhichOneof("SizeFlexibility")
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()
    if flexible == "enumeratedSizes":
        shapes = tuple((1, channels, int(size.height), int(size.width)) for size in image.enumeratedSizes.sizes)
    elif flexible == "imageSizeRange":
        sides = image.imageSizeRange
        ranges = ((1, 1), (channels, channels), _range(sides.heightRange), _range(sides.widthRange))
    shape = (1, channels, int(image.height), int(image.width))
    return TensorInfo(
        feature.name, shape, "float32", True, _COLORS[space], shapes, ranges, bool(feature.type.isOptional)
    )


def _array(feature: Any) -> TensorInfo:
    array = feature.type.multiArrayType
    types = array.DESCRIPTOR.fields_by_name["dataType"].enum_type.values_by_number
    name = types[array.dataType].name if array.dataType in types else ""
    if name not in _DTYPES:
        raise PackageError(f"Array {feature.name!r} has no known element type.")
    flexible = array.WhichOneof("ShapeFlexibility")
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()
    if flexible == "enumeratedShapes":
        shapes = tuple(tuple(int(size) for size in entry.shape) for entry in array.enumeratedShapes.shapes)
    elif flexible == "shapeRange":
        ranges = tuple(_range(entry) for entry in array.shapeRange.sizeRanges)
    return TensorInfo(
        feature.name,
        tuple(int(size) for size in array.shape),
        _DTYPES[name],
        shapes=shapes,
        ranges=ranges,
        optional=bool(feature.type.isOptional),
    )


def _range(entry: Any) -> tuple[int, int | None]:
    return int(entry.lowerBound), None if entry.upperBound < 0 else int(entry.upperBound)


def default_value(feature: Any, info: TensorInfo) -> np.ndarray:
    """The array of an optional input that was left out: its declared default value, 0 without one."""
    array = feature.type.multiArrayType
    which = array.WhichOneof("defaultOptionalValue")
    return np.full(info.shape, getattr(array, which) if which else 0, np.dtype(info.dtype))


def check_inputs(infos: Mapping[str, TensorInfo], inputs: Mapping[str, Any]) -> Arrays:
    """Checks arrays against what a component takes.

    Args:
        infos: What it takes.
        inputs: What it is given: numbers of any width for floating-point inputs, integers for integer ones.

    Returns:
        The arrays, float32 or int32. Optional inputs that were left out stay out.

    Raises:
        InputError: a missing or unknown name, a wrong shape, a wrong element type or a number that doesn't fit.
    """
    unknown = sorted(set(inputs) - set(infos))
    missing = sorted(name for name, info in infos.items() if name not in inputs and not info.optional)
    if unknown or missing:
        parts = []
        if missing:
            parts.append(f"missing: {', '.join(missing)}")
        if unknown:
            parts.append(f"unknown: {', '.join(unknown)}")
        listed = ", ".join(f"{info.name} {list(info.shape)}" for info in infos.values())
        raise InputError(f"The inputs don't match ({'; '.join(parts)}).", f"Expected: {listed}.")
    return {name: _checked(infos[name], value) for name, value in inputs.items()}


def _checked(info: TensorInfo, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if not info.accepts(array.shape):
        raise InputError(
            f"Input {info.name!r} has shape {list(array.shape)}, which it doesn't take.", f"It takes {shapes_of(info)}."
        )
    if info.dtype.startswith("float"):
        if array.dtype.kind not in "fiub":
            raise InputError(f"Input {info.name!r} holds {array.dtype} values.", f"It takes numbers ({info.dtype}).")
        return array.astype(np.float32)
    if array.dtype.kind not in "iub":
        raise InputError(f"Input {info.name!r} holds {array.dtype} values.", f"It takes integers ({info.dtype}).")
    limits = np.iinfo(np.dtype(info.dtype))
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise InputError(f"Input {info.name!r} holds integers that don't fit into {info.dtype}.")
    return array.astype(np.int32)


def shapes_of(info: TensorInfo) -> str:
    """What shapes an input takes, in words."""
    if info.ranges:
        sides = [str(low) if low == high else f"{low}..{high or ''}" for low, high in info.ranges]
        return f"[{', '.join(sides)}]"
    return " or ".join(str(list(shape)) for shape in (info.shapes or (info.shape,)))


def random_inputs(infos: Mapping[str, TensorInfo], seed: int) -> Arrays:
    """Arrays in the default shapes: images uniform in 0..255, standard normal numbers, integers from 0 to 9.

    The same seed gives the same arrays.
    """
    generator = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, info in infos.items():
        if info.is_image:
            arrays[name] = generator.uniform(0, 255, info.shape).astype(np.float32)
        elif info.dtype.startswith("float"):
            arrays[name] = generator.standard_normal(info.shape).astype(np.float32)
        else:
            arrays[name] = generator.integers(0, 10, info.shape).astype(np.int32)
    return arrays
