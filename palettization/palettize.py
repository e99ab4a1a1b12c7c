"""Palettizes whole packages: specification and weight file are rewritten directly, tensors streamed through memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from palettization.encode import Clustered, Importance, check_written, cluster, packed_pieces
from palettization.forms import put_palette, write_palette
from palettization.package import BlobReader, Package, PackageWriter, summarise
from palettization.plan import Decision, decide
from palettization.recipe import Choice, Recipe
from palettization.report import MANIFEST_BYTES, PaletteReport, TensorReport, file_bytes, palette_bytes
from palettization.rewrite import BlobCopier, check_apart, input_bytes
from palettization.stored import stored_weights

_T = TypeVar("_T")
Progress = Callable[[str, int, int], None]
"""Told what is being done ("clustering" or "checking"), elements done, and elements in all."""

_IOS18 = (
    "This package needs iOS 18 or macOS 15, whose form of palettes is reported to crash the Neural Engine on macOS "
    "26.6 (coremltools issue 2688). Try it on every device you ship to, or convert the model for iOS17."
)
_NOTHING = "No tensor was palettized: all were left as they were."


def palettize(
    package: Path | str,
    out: Path | str,
    recipe: Recipe | int,
    *,
    importance: Mapping[str, Importance] | None = None,
    force: bool = False,
    check: bool = True,
    threads: int = 2,
    progress: Progress | None = None,
) -> PaletteReport:
    """Writes a copy of a package with its weights palettized; all else stays as it is.

    Tables are optimal (see clustering.py). The form is that of the package's deployment target: one table a tensor with
    1, 2, 4, 6 or 8 bits for iOS16 and iOS17; 3 bits and grouped channels too for iOS18. Tensors with fewer distinct
    values than the table has entries take fewer bits where they can and are exact. Weights that are stored in fp16 and
    computed with in fp32 (`constexpr_cast`) get an fp32 table. Tensors are read in pieces; only those with groups or
    importances are held whole, `threads` at a time.

    Args:
        package: An .mlpackage holding an ML Program.
        out: The package to write.
        recipe: What each tensor gets, or bits for all.
        importance: Of weights, by tensor name, as in `histogram_of`; absent tensors weigh all their weights alike.
        force: Replace `out` if it is a package.
        check: Read every tensor back from the written file and compare every bit.
        threads: Tensors clustered at once.
        progress: Told how far the work is.

    Returns:
        What was done, tensor by tensor.

    Raises:
        PackageError: `package` cannot be read, `out` exists or is `package` itself, or the output cannot be written.
        RecipeError: the recipe does not fit the package; see `decide`.
        NonFiniteWeightError: NaN or infinity in a weight.
    """
    source, target = Path(package), Path(out)
    if isinstance(recipe, int):
        recipe = Recipe(Choice(recipe))
    check_apart(source, target)
    with Package.open(source) as opened, PackageWriter(target, force=force) as writer:
        decisions = decide(stored_weights(opened), recipe, str(source))
        work = _Work(opened, writer, [item for item in decisions if item.choice], importance or {}, threads, progress)
        records = work.write()
        checked = work.check() if check else 0
        tensors = tuple(work.report(decision) for decision in decisions)
        bytes_before = input_bytes(opened)
        modelled_bytes = file_bytes(records) + int(opened.spec.ByteSize()) + MANIFEST_BYTES
        digests = writer.finish(opened.spec).digests
    warnings = [_IOS18] if any(decision.choice and decision.ios18 for decision in decisions) else []
    if not any(tensor.palettized for tensor in tensors):
        warnings.append(_NOTHING)
    return PaletteReport(
        source=str(source),
        path=str(target),
        tensors=tensors,
        bytes_before=bytes_before,
        bytes_after=sum(item.stat().st_size for item in target.rglob("*") if item.is_file()),
        modelled_bytes=modelled_bytes,
        checked=checked,
        digests=digests,
        warnings=tuple(warnings),
    )


@dataclass(frozen=True)
class _Done:
    """What is kept of a tensor until the end."""

    tables: npt.NDArray[np.floating]
    bits: int
    entries: int
    squared_error: float
    energy: float


class _Work:
    """The rewriting of one package."""

    def __init__(
        self,
        package: Package,
        writer: PackageWriter,
        decisions: list[Decision],
        importance: Mapping[str, Importance],
        threads: int,
        progress: Progress | None,
    ) -> None:
        self.package = package
        self.writer = writer
        self.decisions = decisions
        self.importance = importance
        self.threads = max(1, threads)
        self.progress = progress
        self.bytes_before = {weight.name: weight.bytes for weight in summarise(package).weights}
        self.done: dict[int, _Done] = {}

    def write(self) -> list[int]:
        """Clusters and writes all tensors, then copies what else lies in weight files.

        Returns:
            Bytes of every record, by the size model.
        """
        records: list[int] = []
        for decision, clustered in self._each("clustering", self._cluster):
            weight, tables = decision.weight, clustered.tables
            packed = packed_pieces(self.package, decision, clustered)
            operands = write_palette(
                self.writer.blob, packed, tables, weight.shape, decision.group_axis, ios18=decision.ios18
            )
            for operation, _ in weight.operations:
                put_palette(operation, operands, ios18=decision.ios18)
            records += [palette_bytes(weight.elements, clustered.bits, 0), tables.nbytes]
            self.done[id(weight)] = _Done(
                tables=tables,
                bits=clustered.bits,
                entries=sum(palette.used for palette in clustered.palettes),
                squared_error=sum(palette.squared_error for palette in clustered.palettes),
                energy=clustered.energy,
            )
        copier = BlobCopier(self.package, self.writer.blob)
        written = {id(operation) for item in self.decisions for operation, _ in item.weight.operations}
        for located in self.package.walk():
            if id(located.operation) not in written:
                copier.copy(located.operation)
        return records + copier.sizes

    def check(self) -> int:
        """Reads back all palettes; returns their number."""
        if not self.decisions:
            return 0
        with BlobReader(self.writer.blob.close()) as blob:

            def compare(decision: Decision) -> None:
                tables = self.done[id(decision.weight)].tables
                for operation, _ in decision.weight.operations:
                    check_written(operation, blob, self.package, decision, tables)

            return sum(1 for _ in self._each("checking", compare))

    def report(self, decision: Decision) -> TensorReport:
        """What was done with one weight."""
        weight, done = decision.weight, self.done.get(id(decision.weight))
        bytes_before = self.bytes_before[weight.name]
        return TensorReport(
            name=weight.name,
            shape=weight.shape,
            elements=weight.elements,
            bits=done.bits if done else 0,
            tables=len(done.tables) if done else 0,
            entries=done.entries if done else 0,
            reason=decision.reason,
            bytes_before=bytes_before,
            bytes_after=palette_bytes(weight.elements, done.bits, 0) + done.tables.nbytes if done else bytes_before,
            squared_error=done.squared_error if done else 0.0,
            energy=done.energy if done else 0.0,
        )

    def _cluster(self, decision: Decision) -> Clustered:
        return cluster(self.package, decision, self.importance.get(decision.weight.name))

    def _each(self, stage: str, work: Callable[[Decision], _T]) -> Iterator[tuple[Decision, _T]]:
        """Runs `work` over all decisions in threads, a few ahead of the caller, and gives the results in order."""
        total = sum(item.weight.elements for item in self.decisions)
        waiting = deque(self.decisions)
        running: deque[tuple[Decision, Future[_T]]] = deque()
        done = 0
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) <= self.threads:
                        running.append((waiting[0], pool.submit(work, waiting.popleft())))
                    decision, future = running.popleft()
                    yield decision, future.result()
                    done += decision.weight.elements
                    if self.progress:
                        self.progress(stage, done, total)
            finally:
                pool.shutdown(cancel_futures=True)
