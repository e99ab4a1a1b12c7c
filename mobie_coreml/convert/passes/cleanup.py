"""Dead code, common subexpressions, casts."""

from __future__ import annotations

from collections.abc import Hashable

from mobie_coreml.convert.graph import DType, Graph, Operand, Operation, Tensor, Value


def drop_dead(graph: Graph) -> bool:
    """Removes operations that no output depends on."""
    needed = set(graph.outputs)
    kept: list[Operation] = []
    for operation in reversed(graph.operations):
        if any(value in needed for value in operation.outputs):
            kept.append(operation)
            needed.update(operation.values())
    changed = len(kept) != len(graph.operations)
    graph.operations = kept[::-1]
    return changed


def merge_equal(graph: Graph) -> bool:
    """Computes once what is computed twice from the same operands; the first computation keeps its name.

    An output of the package keeps an operation of its own: two outputs cannot be one value.
    """
    first: dict[Hashable, Operation] = {}
    replaced: dict[Value, Tensor] = {}
    outputs = set(graph.outputs)
    kept: list[Operation] = []

    def described(operand: Operand) -> Hashable:
        if isinstance(operand, tuple):
            return tuple(described(item) for item in operand)
        return id(replaced.get(operand, operand)) if isinstance(operand, Value) else operand

    for operation in graph.operations:
        key = (
            operation.type,
            tuple((name, described(operand)) for name, operand in sorted(operation.inputs.items())),
            tuple((value.shape, value.dtype) for value in operation.outputs),
        )
        original = first.setdefault(key, operation)
        if original is operation or outputs.intersection(operation.outputs):
            kept.append(operation)
            continue
        replaced.update(zip(operation.outputs, original.outputs, strict=True))
    graph.operations = kept
    graph.substitute(replaced)
    return bool(replaced)


_WIDTH = {DType.FP16: 0, DType.FP32: 1}


def merge_casts(graph: Graph) -> bool:
    """Skips a cast to a type that holds everything its operand's type holds when another cast follows."""
    producers, outputs = graph.producers(), set(graph.outputs)
    replaced: dict[Value, Tensor] = {}
    changed = False
    for operation in graph.operations:
        if operation.type != "cast":
            continue
        source = operation.inputs["x"]
        assert isinstance(source, Value)
        earlier = producers.get(source)
        if earlier is not None and earlier.type == "cast":
            origin = earlier.inputs["x"]
            assert isinstance(origin, Value)
            if _WIDTH.get(origin.dtype, 2) <= _WIDTH.get(source.dtype, -1):
                operation.inputs["x"] = source = origin
                changed = True
        if source.dtype is operation.output.dtype and operation.output not in outputs:
            replaced[operation.output] = source
    graph.operations = [operation for operation in graph.operations if not replaced.keys() & set(operation.outputs)]
    graph.substitute(replaced)
    return changed or bool(replaced)
