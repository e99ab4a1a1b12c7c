"""Rewrites of arithmetic with constants: scalars meet scalars, and disappear into the weights beside them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mobie_coreml.convert.graph import Graph, Literal, Operation, Value, Weight

_WEIGHTED = ("conv", "linear")
_CHANGES = ("mul", "real_div", "add", "sub")


def scalar_of(operation: Operation, name: str = "y") -> float | None:
    """The number that input `name` is, or None."""
    operand = operation.inputs.get(name)
    if not isinstance(operand, Literal) or len(np.atleast_1d(operand.array())) != 1 or not operand.dtype.is_float:
        return None
    return float(operand.array().reshape(-1)[0])


def _with_number(operation: Operation) -> tuple[Value, float] | None:
    """(value, number) of an element-wise operation on both; the number may be on either side of a product or sum."""
    sides = (("x", "y"), ("y", "x")) if operation.type in ("mul", "add") else (("x", "y"),)
    for value_name, number_name in sides:
        value, number = operation.inputs.get(value_name), scalar_of(operation, number_name)
        if isinstance(value, Value) and number is not None and value.shape == operation.output.shape:
            return value, number
    return None


def merge_scalars(graph: Graph) -> bool:
    """Makes two products with numbers, or two sums, one."""
    producers, consumers, outputs = graph.producers(), graph.consumers(), set(graph.outputs)
    changed = False
    for operation in graph.operations:
        later = _with_number(operation) if operation.type in ("mul", "add") else None
        earlier_operation = producers.get(later[0]) if later else None
        if later is None or earlier_operation is None or earlier_operation.type != operation.type:
            continue
        earlier = _with_number(earlier_operation)
        if earlier is None or len(consumers[later[0]]) != 1 or later[0] in outputs:
            continue
        number = earlier[1] * later[1] if operation.type == "mul" else earlier[1] + later[1]
        merged = Literal.of(number, operation.output.dtype)
        if merged.value == 0 or not np.isfinite(merged.array()):
            continue
        operation.inputs = {"x": earlier[0], "y": merged}
        changed = True
    return changed


def fold_into_weights(graph: Graph) -> bool:
    """Folds a number by which the outermost module scales or shifts a layer's result into the layer's weights.

    That is the image range at the end of a Decoder, two operations at full resolution. The layer then computes what the
    arithmetic after it computed, so it takes over that result's name: values keep meaning what their names say. Scales
    inside (attention's) stay operations, so that every layer's own result can be compared with PyTorch's.
    """
    producers, consumers, outputs = graph.producers(), graph.consumers(), set(graph.outputs)
    folded: set[Operation] = set()
    for operation in graph.operations:
        found = _with_number(operation) if operation.type in _CHANGES else None
        layer = producers.get(found[0]) if found else None
        if found is None or layer is None or layer.type not in _WEIGHTED or layer in folded or operation.path:
            continue
        value, number = found
        if len(consumers[value]) != 1 or value in outputs or not _apply(layer, operation.type, number):
            continue
        layer.outputs = operation.outputs
        layer.path = operation.path
        folded |= {operation, layer}
    graph.operations = [item for item in graph.operations if item not in folded or item.type in _WEIGHTED]
    return bool(folded)


def _apply(layer: Operation, change: str, number: float) -> bool:
    """Changes the weights of `layer`; False where they are not there to be changed."""
    weight, bias = layer.inputs["weight"], layer.inputs.get("bias")
    if not isinstance(weight, Weight) or (bias is not None and not isinstance(bias, Weight)):
        return False
    if change in ("mul", "real_div"):
        factor = number if change == "mul" else 1 / number
        scale = _computed(lambda array: array * np.float32(factor))
        layer.inputs["weight"] = weight.map(("times", factor), scale)
        if bias is not None:
            layer.inputs["bias"] = bias.map(("times", factor), scale)
        return True
    shift = number if change == "add" else -number
    if bias is None:
        width = (weight.shape[0],)
        name = f"{weight.name.removesuffix('.weight')}.bias"
        bias = Weight(("zeros", width[0]), name, width, weight.dtype, lambda _: np.zeros(width, np.float32))
    layer.inputs["bias"] = bias.map(("plus", shift), _computed(lambda array: array + np.float32(shift)))
    return True


def _computed(
    change: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
) -> Callable[[npt.NDArray[np.generic]], npt.NDArray[np.generic]]:
    """`change` in fp32 on an array of any floating-point type."""
    return lambda array: change(array.astype(np.float32))
