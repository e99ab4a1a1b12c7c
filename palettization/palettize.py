"""Palettizes whole packages: specification and weight file are rewritten directly, tensors streamed through memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from palettization.coded import Coded
from palettization.encode import check_written, code, packed_pieces
from palettization.forms import put_palette, put_scaled_palette, write_palette
from palettization.package import WEIGHT_FILE, BlobReader, Constants, Package, PackageWriter, file_value, summarise
from palettization.plan import COMPRESSED_ALREADY, Decision, decide
from palettization.recipe import Choice, Recipe
from palettization.report import MANIFEST_BYTES, PaletteReport, TensorReport, file_bytes, palette_bytes
from palettization.rewrite import BlobCopier, check_apart, input_bytes
from palettization.stored import stored_weights
from palettization.whole import Importance

_T = TypeVar("_T")
Progress = Callable[[str, int, int], None]
"""Told what is being done ("clustering" or "checking"), elements done, and elements in all."""

_IOS18 = (
    "This package needs iOS 18 or macOS 15, whose form of palettes is reported to crash the Neural Engine on macOS "
    "26.6 (coremltools issue 2688). Try it on every device you ship to, or convert the model for iOS17."
)
_SCALES = (
    "Tables with a scale for every channel are known to crash Core ML on macOS 26 (coremltools issue 2688). Leave the "
    "scales out unless every system you ship to has run this package."
)
_NOTHING = "No tensor was palettized: all were left as they were."
_COMPRESSED = "No tensor was palettized: {} are compressed already. `mobie decompress` first, to choose other bits."


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

    Tables of numbers are optimal (see clustering.py). The form is that of the package's deployment target: one table a
    tensor with 1, 2, 4, 6 or 8 bits for iOS16 and iOS17; 3 bits, grouped channels, vectors and scales too for iOS18.
    Tensors with fewer distinct values than the table has entries take fewer bits where they can and are exact. Weights
    that are stored in fp16 and computed with in fp32 (`constexpr_cast`) get an fp32 table. Tensors are read in pieces;
    only those with groups, vectors, scales or importances are held whole, one more than `threads` at a time.

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
        bytes_before = input_bytes(opened)
        done = palettize_opened(
            opened, writer, recipe, importance=importance, check=check, threads=threads, progress=progress
        )
        modelled_bytes = file_bytes(done.records) + int(opened.spec.ByteSize()) + MANIFEST_BYTES
        digests = writer.finish(opened.spec).digests
    return PaletteReport(
        source=str(source),
        path=str(target),
        tensors=done.tensors,
        bytes_before=bytes_before,
        bytes_after=sum(item.stat().st_size for item in target.rglob("*") if item.is_file()),
        modelled_bytes=modelled_bytes,
        checked=done.checked,
        digests=digests,
        warnings=done.warnings,
    )


@dataclass(frozen=True)
class Palettized:
    """What was written of a package that is not finished yet.

    Attributes:
        tensors: In program order.
        records: Bytes of every record of the weight file, by the size model.
        checked: Tensors whose written form was read back and compared.
        warnings: What the user should know.
    """

    tensors: tuple[TensorReport, ...]
    records: list[int]
    checked: int
    warnings: tuple[str, ...]


def palettize_opened(
    package: Package,
    writer: PackageWriter,
    recipe: Recipe,
    *,
    importance: Mapping[str, Importance] | None = None,
    check: bool = True,
    threads: int = 2,
    progress: Progress | None = None,
) -> Palettized:
    """Writes all weights of an opened package to `writer` and turns its specification into that of the result.

    The package need not be on disk (see `DeferredBlob`). `writer.finish(package.spec)` is left to the caller.

    Args, Raises:
        As `palettize`.
    """
    decisions = decide(stored_weights(package), recipe, str(package.path))
    work = _Work(package, writer, [item for item in decisions if item.choice], importance or {}, threads, progress)
    records = work.write()
    checked = work.check() if check else 0
    tensors = tuple(work.report(decision) for decision in decisions)
    warnings = [_IOS18] if any(decision.choice and decision.ios18 for decision in decisions) else []
    if any(tensor.scaled for tensor in tensors):
        warnings.append(_SCALES)
    if not any(tensor.palettized for tensor in tensors):
        compressed = sum(decision.reason == COMPRESSED_ALREADY for decision in decisions)
        warnings.append(_COMPRESSED.format(compressed) if compressed else _NOTHING)
    return Palettized(tensors, records, checked, tuple(warnings))


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
        self.done: dict[int, Coded] = {}
        self.added: list[Any] = []

    def write(self) -> list[int]:
        """Clusters and writes all tensors, then copies what else lies in weight files.

        Returns:
            Bytes of every record, by the size model.
        """
        records: list[int] = []
        blob = self.writer.blob
        blocks = {id(operation): block for block, operation in self._operations()}
        written: set[int] = set()
        for decision, coded in self._each("clustering", self._code):
            weight, ios18 = decision.weight, decision.ios18
            packed = packed_pieces(self.package, decision, coded)
            operands = write_palette(blob, packed, coded.tables, weight.shape, decision.group_axis, ios18=ios18)
            records += [palette_bytes(weight.elements, coded.bits, 0, cluster_dim=coded.vector), coded.tables.nbytes]
            scale = None
            if coded.scale is not None:
                scale = file_value(coded.scale.dtype.name, coded.scale.shape, blob.add(coded.scale))
                records.append(coded.scale.nbytes)
            for operation, _ in weight.operations:
                written.add(id(operation))
                if scale is None:
                    put_palette(operation, operands, ios18=ios18)
                else:
                    self.added.append(put_scaled_palette(blocks[id(operation)], operation, operands, scale))
            self.done[id(weight)] = coded.without_indices()
        written.update(map(id, self.added))
        copier = BlobCopier(self.package, blob)
        for located in self.package.walk():
            if id(located.operation) not in written:
                copier.copy(located.operation)
        return records + copier.sizes

    def check(self) -> int:
        """Reads back all palettes; returns their number."""
        if not self.decisions:
            return 0
        with BlobReader(self.writer.blob.close()) as blob:
            view = Package.in_memory(self.package.path, self.package.spec, {WEIGHT_FILE: blob})
            constants: dict[int, Constants] = {}
            for function in view.functions.values():
                held = Constants(view, function)
                constants.update({id(located.operation): held for located in function.walk()})

            def compare(decision: Decision) -> None:
                coded = self.done[id(decision.weight)]
                for operation, _ in decision.weight.operations:
                    check_written(operation, constants[id(operation)], blob, self.package, decision, coded)

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
            cluster_dim=done.vector if done else 1,
            scaled=bool(done and done.scale is not None),
            entries=done.entries if done else 0,
            reason=decision.reason,
            bytes_before=bytes_before,
            bytes_after=(
                palette_bytes(weight.elements, done.bits, 0, cluster_dim=done.vector) + done.table_bytes
                if done
                else bytes_before
            ),
            squared_error=done.squared_error if done else 0.0,
            energy=done.energy if done else 0.0,
        )

    def _code(self, decision: Decision) -> Coded:
        return code(self.package, decision, self.importance.get(decision.weight.name))

    def _operations(self) -> Iterator[tuple[Any, Any]]:
        """Every operation of the package and the block that holds it."""
        blocks = [function.block for function in self.package.functions.values()]
        while blocks:
            block = blocks.pop()
            for operation in block.operations:
                yield block, operation
                blocks += operation.blocks

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
