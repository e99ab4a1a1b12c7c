"""The few rewrites of a graph that pay for these networks; each keeps what the graph computes."""

from __future__ import annotations

from collections.abc import Callable

from mobie_coreml.convert.graph import Graph
from mobie_coreml.convert.passes.cleanup import drop_dead, merge_casts, merge_equal
from mobie_coreml.convert.passes.layout import merge_reshapes, merge_transposes, norm_in_place, transpose_in_matmul
from mobie_coreml.convert.passes.scalars import fold_into_weights, merge_scalars

PASSES: tuple[Callable[[Graph], bool], ...] = (
    drop_dead,
    merge_casts,
    merge_transposes,
    merge_reshapes,
    norm_in_place,
    transpose_in_matmul,
    merge_scalars,
    fold_into_weights,
    merge_equal,
)

__all__ = ["PASSES", "simplify"]


def simplify(graph: Graph) -> None:
    """Applies every pass until none changes anything."""
    changed = True
    while changed:
        changed = False
        for rewrite in PASSES:
            changed |= rewrite(graph)
