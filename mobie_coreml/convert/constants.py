"""Constant folding without data: what depends on weights alone becomes a recipe that runs when it is written."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from mobie_coreml.convert.graph import DType, Literal, LoadWeight, Unsupported, Weight

Constant: TypeAlias = Weight | Literal

LITERAL_LIMIT = 10
"""Constants of fewer elements stay in the program, as coremltools decides it; larger ones go to the weight file."""

_TORCH_TYPES = {
    torch.float16: DType.FP16,
    torch.float32: DType.FP32,
    torch.float64: DType.FP32,
    torch.bfloat16: DType.FP32,
    torch.int64: DType.INT32,
    torch.int32: DType.INT32,
    torch.int16: DType.INT32,
    torch.uint8: DType.INT32,
    torch.bool: DType.BOOL,
}


def mil_dtype(dtype: torch.dtype, floats: DType) -> DType:
    """MIL's type of tensors that PyTorch has as `dtype`; every floating-point type becomes `floats`.

    Raises:
        Unsupported: MIL has no such type.
    """
    if dtype not in _TORCH_TYPES:
        raise Unsupported(f"{dtype} has no counterpart in a package")
    kind = _TORCH_TYPES[dtype]
    return floats if kind.is_float else kind


def parameter(name: str, value: torch.Tensor, floats: DType, *, exact: bool = False) -> Weight:
    """The weight of a parameter (or, `exact`, a buffer) called `name`; `value` gives its shape and dtype alone."""
    dtype = mil_dtype(value.dtype, floats)
    return Weight(("parameter", name), name, tuple(value.shape), dtype, lambda load: load(name), exact)


def held(name: str, value: torch.Tensor, floats: DType) -> Constant:
    """The constant of a tensor that the traced program holds itself."""
    array = value.detach().cpu().numpy()
    key = ("held", array.dtype.str, array.shape, array.tobytes())
    return settled(Weight(key, name, tuple(value.shape), mil_dtype(value.dtype, floats), lambda _: array, exact=True))


def settled(weight: Weight) -> Constant:
    """A small constant that needs no parameter as a literal, whose value passes can see; anything else as it is."""
    if not weight.exact or weight.size >= LITERAL_LIMIT:
        return weight
    try:
        return Literal.from_array(weight.make(_no_parameters), weight.dtype)
    except _NeedsParametersError:
        return weight


class _NeedsParametersError(Exception):
    pass


def _no_parameters(name: str) -> npt.NDArray[np.generic]:
    raise _NeedsParametersError(name)


def is_constant(result: Any) -> bool:
    """Whether a lowered result, or every part of it, is known before the package runs."""
    parts = result if isinstance(result, list) else [result]
    return all(isinstance(part, (Weight, Literal)) for part in parts)


def fold(node: fx.Node, known: Mapping[fx.Node, Any], floats: DType) -> Constant | list[Constant]:
    """The result of a call whose tensors are all constants, as weights that are computed when written.

    The call runs in fp32 (integers as they are) on the CPU. The name of the first weight it reads is kept, so that a
    reshaped or scaled parameter is still called by its own name.

    Args:
        node: The call; every node it reads is constant in `known`.
        known: Results so far.
        floats: The type of its floating-point results.
    """
    read = [part for argument in node.all_input_nodes for part in _parts(known[argument])]
    weights = [part for part in read if isinstance(part, Weight)]
    name = weights[0].name if weights else node.name
    exact = all(weight.exact for weight in weights)
    key = ("fold", str(node.target), _described(node.args, known), _described(node.kwargs, known))
    value = node.meta["val"]

    def run(load: LoadWeight) -> Any:
        def concrete(argument: fx.Node) -> Any:
            result = known[argument]
            return [_as_tensor(item, load) for item in result] if isinstance(result, list) else _as_tensor(result, load)

        keywords = dict(fx.map_arg(node.kwargs, concrete))
        if "device" in keywords:
            keywords["device"] = torch.device("cpu")
        target: Any = node.target
        with torch.no_grad():
            return target(*fx.map_arg(node.args, concrete), **keywords)

    def one(index: int | None, like: torch.Tensor) -> Constant:
        def make(load: LoadWeight) -> npt.NDArray[np.generic]:
            result = run(load) if index is None else run(load)[index]
            array: npt.NDArray[np.generic] = result.contiguous().numpy()
            return array

        shape, dtype = tuple(like.shape), mil_dtype(like.dtype, floats)
        return settled(Weight((key, index), name, shape, dtype, make, exact))

    if isinstance(value, torch.Tensor):
        return one(None, value)
    return [one(index, item) for index, item in enumerate(value)]


def _parts(result: Any) -> list[Constant]:
    return list(result) if isinstance(result, list) else [result]


def _as_tensor(constant: Constant, load: LoadWeight) -> torch.Tensor:
    array = constant.array() if isinstance(constant, Literal) else constant.make(load)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype == np.int32:
        array = array.astype(np.int64)  # as PyTorch has them: some of its operators index with 64 bits only
    # Weights come from memory maps that cannot be written to; torch warns about those.
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _described(argument: Any, known: Mapping[fx.Node, Any]) -> Hashable:
    """Arguments as something hashable that is equal for equal calls, whatever the names of nodes."""
    if isinstance(argument, fx.Node):
        return tuple(part if isinstance(part, Literal) else part.key for part in _parts(known[argument]))
    if isinstance(argument, (list, tuple)):
        return tuple(_described(item, known) for item in argument)
    if isinstance(argument, dict):
        return tuple((name, _described(argument[name], known)) for name in sorted(argument))
    return repr(argument)
