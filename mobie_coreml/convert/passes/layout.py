"""Rewrites of reshapes and transposes."""

from __future__ import annotations

from mobie_coreml.convert.graph import Graph, Literal, Operation, Tensor, Value

_RESHAPES = ("reshape", "expand_dims", "squeeze")


def integers(operation: Operation, name: str) -> tuple[int, ...]:
    """An integer input of `operation` that is written in the program."""
    literal = operation.inputs[name]
    assert isinstance(literal, Literal)
    items = literal.value if isinstance(literal.value, tuple) else (literal.value,)
    return tuple(int(item) for item in items)


def source_of(operation: Operation, name: str = "x") -> Value | None:
    """The value that input `name` reads; None for constants and lists."""
    operand = operation.inputs[name]
    return operand if isinstance(operand, Value) else None


def merge_reshapes(graph: Graph) -> bool:
    """Makes a reshape of a reshape one reshape, and drops those that change nothing."""
    producers, outputs = graph.producers(), set(graph.outputs)
    replaced: dict[Value, Tensor] = {}
    changed = False
    for operation in graph.operations:
        if operation.type not in _RESHAPES:
            continue
        source = source_of(operation)
        earlier = producers.get(source) if source else None
        if source is None:
            continue
        if earlier is not None and earlier.type in _RESHAPES and source_of(earlier) is not None:
            source = source_of(earlier)
            assert source is not None
            operation.type = "reshape"
            operation.inputs = {"x": source, "shape": Literal.of(list(operation.output.shape))}
            changed = True
        if source.shape == operation.output.shape and operation.output not in outputs:
            replaced[operation.output] = source
    return _replace(graph, replaced) or changed


def merge_transposes(graph: Graph) -> bool:
    """Makes a transpose of a transpose one transpose, and drops those that change nothing."""
    producers, outputs = graph.producers(), set(graph.outputs)
    replaced: dict[Value, Tensor] = {}
    changed = False
    for operation in graph.operations:
        source = source_of(operation) if operation.type == "transpose" else None
        if source is None:
            continue
        earlier = producers.get(source)
        origin = source_of(earlier) if earlier is not None and earlier.type == "transpose" else None
        if earlier is not None and origin is not None:
            first, second = integers(earlier, "perm"), integers(operation, "perm")
            operation.inputs = {"x": origin, "perm": Literal.of([first[axis] for axis in second])}
            source, changed = origin, True
        perm = integers(operation, "perm")
        if perm == tuple(range(len(perm))) and operation.output not in outputs:
            replaced[operation.output] = source
    return _replace(graph, replaced) or changed


def transpose_in_matmul(graph: Graph) -> bool:
    """Lets `matmul` transpose the last two axes of an operand itself, where nothing else reads the transposed one."""
    producers, consumers, outputs = graph.producers(), graph.consumers(), set(graph.outputs)
    changed = False
    for operation in graph.operations:
        if operation.type != "matmul":
            continue
        for name in ("x", "y"):
            value = source_of(operation, name)
            earlier = producers.get(value) if value is not None else None
            if value is None or earlier is None or earlier.type != "transpose" or value in outputs:
                continue
            rank = len(value.shape)
            swapped = (*range(rank - 2), rank - 1, rank - 2)
            if integers(earlier, "perm") != swapped or any(user is not operation for user in consumers[value]):
                continue
            flag = operation.inputs[f"transpose_{name}"]
            assert isinstance(flag, Literal)
            operation.inputs[name] = earlier.inputs["x"]
            operation.inputs[f"transpose_{name}"] = Literal.of(not flag.value)
            changed = True
    return changed


def norm_in_place(graph: Graph) -> bool:
    """Normalises one axis where it is, instead of moving it last and back.

    transpose, `layer_norm` of the last axis, inverse transpose become one `layer_norm` of the axis that was moved: the
    form that the Neural Engine runs on (1, C, 1, S) tensors.
    """
    producers, consumers, outputs = graph.producers(), graph.consumers(), set(graph.outputs)
    changed = False
    for operation in graph.operations:
        if operation.type != "transpose":
            continue
        normal = producers.get(source_of(operation) or operation.output)
        if normal is None or normal.type != "layer_norm" or integers(normal, "axes") not in ((-1,), _last(normal)):
            continue
        moved = producers.get(source_of(normal) or normal.output)
        if moved is None or moved.type != "transpose":
            continue
        there, back = integers(moved, "perm"), integers(operation, "perm")
        alone = len(consumers[normal.output]) == 1 and normal.output not in outputs
        if not alone or tuple(there[axis] for axis in back) != tuple(range(len(there))):
            continue
        operation.type = "layer_norm"
        operation.path = normal.path
        operation.inputs = {**normal.inputs, "x": moved.inputs["x"], "axes": Literal.of([there[-1]])}
        if operation.output not in outputs:
            operation.output.name = normal.output.name
            normal.output.name = f"{normal.output.name}_moved"
        changed = True
    return changed


def _last(operation: Operation) -> tuple[int, ...]:
    return (len(operation.output.shape) - 1,)


def _replace(graph: Graph, replaced: dict[Value, Tensor]) -> bool:
    graph.operations = [operation for operation in graph.operations if not replaced.keys() & set(operation.outputs)]
    graph.substitute(replaced)
    return bool(replaced)
