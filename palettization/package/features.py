"""Inputs, outputs and states of a package as its description declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from palettization.package.protobuf import proto
from palettization.package.reader import Package


@dataclass(frozen=True)
class Feature:
    """One input, output or state.

    Attributes:
        name: As callers pass it.
        kind: "array", "image", "state", or the protobuf name of a rarer type ("int64", "string", "dictionary", ...).
        shape: Of the array; (height, width) of an image; empty for scalars.
        element: Element type of an array or state ("float16", "int32", ...), colour layout of an image ("RGB", ...).
        description: As its author wrote it.
        optional: Whether callers may leave it out.
        flexible: Other shapes it takes: enumerated ones, or (lowest, highest) per dimension with -1 for no limit.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    element: str
    description: str
    optional: bool
    flexible: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Interface:
    """Inputs, outputs and states of one function, in order."""

    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    states: tuple[Feature, ...]


def read_interface(package: Package, function: str | None = None) -> Interface:
    """The interface of a function.

    Args:
        package: An open package.
        function: Its name, or None for the default function.

    Raises:
        SpecError: there is no such function.
    """
    described = package.description(function)
    return Interface(
        tuple(_feature(item) for item in described.input),
        tuple(_feature(item) for item in described.output),
        tuple(_feature(item) for item in described.state),
    )


def _feature(item: Any) -> Feature:
    kind = item.type.WhichOneof("Type") or "unknown"
    shape: tuple[int, ...] = ()
    element = ""
    flexible: tuple[tuple[int, ...], ...] = ()
    if kind == "multiArrayType":
        shape, element, flexible = _array(item.type.multiArrayType)
    elif kind == "stateType":
        shape, element, flexible = _array(item.type.stateType.arrayType)
    elif kind == "imageType":
        image = item.type.imageType
        shape = (int(image.height), int(image.width))
        element = _enum_name(proto().FeatureTypes_pb2.ImageFeatureType.ColorSpace, image.colorSpace)
        flexible = _image_flexibility(image)
    name = {"multiArrayType": "array", "imageType": "image", "stateType": "state"}.get(kind, kind.removesuffix("Type"))
    return Feature(item.name, name, shape, element, item.shortDescription, bool(item.type.isOptional), flexible)


def _array(array: Any) -> tuple[tuple[int, ...], str, tuple[tuple[int, ...], ...]]:
    element = _enum_name(proto().FeatureTypes_pb2.ArrayFeatureType.ArrayDataType, array.dataType).lower()
    flexible: tuple[tuple[int, ...], ...] = ()
    if array.WhichOneof("ShapeFlexibility") == "enumeratedShapes":
        flexible = tuple(tuple(int(size) for size in item.shape) for item in array.enumeratedShapes.shapes)
    elif array.WhichOneof("ShapeFlexibility") == "shapeRange":
        flexible = tuple((int(item.lowerBound), int(item.upperBound)) for item in array.shapeRange.sizeRanges)
    return tuple(int(size) for size in array.shape), {"double": "float64"}.get(element, element), flexible


def _image_flexibility(image: Any) -> tuple[tuple[int, ...], ...]:
    kind = image.WhichOneof("SizeFlexibility")
    if kind == "enumeratedSizes":
        return tuple((int(item.height), int(item.width)) for item in image.enumeratedSizes.sizes)
    if kind == "imageSizeRange":
        limits = (image.imageSizeRange.heightRange, image.imageSizeRange.widthRange)
        return tuple((int(item.lowerBound), int(item.upperBound)) for item in limits)
    return ()


def _enum_name(enum: Any, number: int) -> str:
    """The enumerator's name; numbers that this protobuf does not know stay numbers."""
    return str(enum.Name(number)) if number in enum.values() else str(number)
