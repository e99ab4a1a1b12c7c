"""Control flow. Nested blocks share the environment of the function that holds them."""

from __future__ import annotations

import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.execute import Block, Environment, OnValue, run_block
from mobie_coreml.runtime.mil.limits import MAX_ITERATIONS
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


def _outputs(block: Block, environment: Environment) -> tuple[Tensor, ...]:
    values = tuple(environment[slot] for slot in block.outputs)
    assert all(value is not None for value in values)
    return values  # type: ignore[return-value]


def _blocks(node: Node) -> tuple[Block, Block]:
    if len(node.blocks) != 2:
        raise ProgramError(f"it has {len(node.blocks)} blocks instead of 2")
    return node.blocks[0], node.blocks[1]


def _truth(value: Tensor) -> bool:
    if value.numel() != 1:
        raise ProgramError(f"its condition has shape {list(value.shape)} instead of one element")
    return bool(value)


@operation("cond", takes="pred", control=True)
def cond(node: Node) -> Kernel:
    """Runs the first block where the predicate holds, else the second."""
    then, otherwise = _blocks(node)

    def run(environment: Environment, on_value: OnValue | None, predicate: Tensor) -> tuple[Tensor, ...]:
        block = then if _truth(predicate) else otherwise
        run_block(block.steps, environment, node.scratch, on_value)
        return _outputs(block, environment)

    return run


@operation("while_loop", takes="loop_vars*", control=True)
def while_loop(node: Node) -> Kernel:
    """Runs the second block on the loop variables while the first one gives true."""
    condition, body = _blocks(node)
    if len(condition.outputs) != 1:
        raise ProgramError(f"its condition gives {len(condition.outputs)} values instead of one")

    def run(environment: Environment, on_value: OnValue | None, *variables: Tensor) -> tuple[Tensor, ...]:
        if not len(condition.inputs) == len(body.inputs) == len(body.outputs) == len(variables):
            raise ProgramError(f"its blocks don't take and give its {len(variables)} loop variables")
        for _ in range(MAX_ITERATIONS):
            for slot, variable in zip(condition.inputs, variables, strict=True):
                environment[slot] = variable
            run_block(condition.steps, environment, node.scratch, on_value)
            if not _truth(_outputs(condition, environment)[0]):
                return variables
            for slot, variable in zip(body.inputs, variables, strict=True):
                environment[slot] = variable
            run_block(body.steps, environment, node.scratch, on_value)
            variables = _outputs(body, environment)
        raise ProgramError(f"it doesn't end within {MAX_ITERATIONS} iterations")

    return run
