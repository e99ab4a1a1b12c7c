"""Which weights are worth a palette, as data: the reasons for leaving a tensor as it is."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, fields
from typing import Any

from palettization.errors import PackageError
from palettization.stored import StoredWeight


class RecipeError(PackageError):
    """A recipe that cannot be read or does not fit the package."""


@dataclass(frozen=True)
class SkipRules:
    """What is left uncompressed unless a recipe names it.

    Attributes:
        elements: Tensors of fewer elements; coremltools' own threshold is the same. Tables would outweigh the gain.
        axes: Tensors with fewer axes longer than 1: biases, norms and scales in whatever shape. (MIL has a bug with
            compressed tensors of rank 1, rdar://113860800 in coremltools.)
        depthwise: Leave convolutions of one input channel a group: few weights, each of which matters.
        first: Leave the weights of the first operation that has one.
        last: Leave the weights of the last operation that has one.
        operations: Consumers whose weights are left.
        names: Shell patterns of tensor names that are left.
    """

    elements: int = 2049
    axes: int = 2
    depthwise: bool = True
    first: bool = False
    last: bool = False
    operations: tuple[str, ...] = (
        "batch_norm",
        "instance_norm",
        "l2_norm",
        "layer_norm",
        "local_response_norm",
        "prelu",
    )
    names: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: Any, where: str) -> SkipRules:
        """Reads rules as recipes hold them; absent ones keep their defaults.

        Raises:
            RecipeError: unknown rules or values of the wrong type.
        """
        kinds = {field.name: type(getattr(cls(), field.name)) for field in fields(cls)}
        if not isinstance(content, dict) or not set(content) <= set(kinds):
            raise RecipeError(f"{where} is not a set of skip rules.", f"Known rules: {', '.join(kinds)}.")
        values: dict[str, Any] = {}
        for key, value in content.items():
            listed = isinstance(value, list) and all(isinstance(item, str) for item in value)
            if kinds[key] is tuple and listed:
                values[key] = tuple(value)
            elif type(value) is kinds[key]:
                values[key] = value
            else:
                raise RecipeError(f"{where}: {key} is {value!r}, which is no {_KIND[kinds[key]]}.")
        return cls(**values)

    def reason(self, weight: StoredWeight, position: int, count: int) -> str:
        """Why `weight` is left, or "".

        Args:
            weight: The tensor.
            position: Of its first consumer among those that have weights, from 0.
            count: Of such consumers.
        """
        long_axes = sum(size > 1 for size in weight.shape)
        if weight.elements < self.elements:
            return f"fewer than {self.elements:,} elements"
        if long_axes < self.axes:
            return "a vector"
        convolution = any(use.parameter == "weight" and use.operation.startswith("conv") for use in weight.uses)
        if self.depthwise and convolution and len(weight.shape) > 2 and weight.shape[1] == 1:
            return "depthwise"
        for use in weight.uses:
            if use.operation in self.operations:
                return f"used by {use.operation}"
        if self.first and position == 0:
            return "first layer"
        if self.last and position == count - 1:
            return "last layer"
        for pattern in self.names:
            if fnmatch.fnmatchcase(weight.name, pattern):
                return f"named {pattern}"
        return ""


_KIND: dict[type, str] = {bool: "true or false", int: "whole number", tuple: "list of names"}
