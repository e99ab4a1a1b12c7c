"""Turns compressed weights of a package back into plain ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from palettization.errors import PackageError
from palettization.forms import put_dense
from palettization.package import (
    BlobWriter,
    Constants,
    Function,
    Package,
    PackageWriter,
    file_value,
    immediate_value,
    operation_name,
)
from palettization.rewrite import BlobCopier, check_apart, input_bytes

_IMMEDIATE = 10
"""Constants of fewer elements lie in the specification, as coremltools has it."""


@dataclass(frozen=True)
class DecompressReport:
    """A package decompressed.

    Attributes:
        source: The package read.
        path: The package written.
        tensors: Names of what was decompressed.
        bytes_before: Of all files of the input.
        bytes_after: Of all files of the output.
        digests: SHA-256 of the files written.
    """

    source: str
    path: str
    tensors: tuple[str, ...]
    bytes_before: int
    bytes_after: int
    digests: dict[str, str]


def decompress(
    package: Path | str,
    out: Path | str,
    *,
    force: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> DecompressReport:
    """Writes a copy of a package with palettes, quantised and sparse weights as plain constants; all else stays.

    Weights become what the compressed ones decode to, bit for bit, one in memory at a time. fp16 weights that
    `constexpr_cast` brings to fp32 stay as they are: that is no compression.

    Args:
        package: An .mlpackage holding an ML Program.
        out: The package to write.
        force: Replace `out` if it is a package.
        progress: Told "decompressing", operations done and operations in all.

    Raises:
        PackageError: `package` cannot be read or holds nothing compressed, `out` exists or is `package` itself, or the
            output cannot be written.
    """
    source, target = Path(package), Path(out)
    check_apart(source, target)
    with Package.open(source) as opened, PackageWriter(target, force=force, deduplicate=True) as writer:
        opened.check_weights()
        bytes_before = input_bytes(opened)
        compressed = {name: _compressed(function) for name, function in opened.functions.items()}
        total = sum(map(len, compressed.values()))
        if not total:
            raise PackageError(f"{source} holds no compressed weights.", "Use it as it is.")
        # All are decoded before any is changed: one may decode through another.
        dense: dict[int, Any] = {}
        names: dict[str, None] = {}
        done = 0
        for name, function in opened.functions.items():
            used, constants = _used(function.block), Constants(opened, function)
            for operation in compressed[name]:
                if any(output.name in used for output in operation.outputs):
                    dense[id(operation)] = _dense_value(writer.blob, constants.value(operation.outputs[0].name))
                    names[operation_name(operation)] = None
                done += 1
                if progress:
                    progress("decompressing", done, total)
        copier = BlobCopier(opened, writer.blob)
        for name, function in opened.functions.items():
            for operation in compressed[name]:
                if id(operation) in dense:
                    put_dense(operation, dense[id(operation)])
            _remove(function.block, {id(operation) for operation in compressed[name]} - set(dense))
            for located in function.walk():
                if id(located.operation) not in dense:
                    copier.copy(located.operation)
        digests = writer.finish(opened.spec).digests
    return DecompressReport(
        source=str(source),
        path=str(target),
        tensors=tuple(names),
        bytes_before=bytes_before,
        bytes_after=sum(item.stat().st_size for item in target.rglob("*") if item.is_file()),
        digests=digests,
    )


def _compressed(function: Function) -> list[Any]:
    """The function's `constexpr_*` operations that compress; a cast of a plain constant does not."""
    operations = [located.operation for located in function.walk() if located.operation.type.startswith("constexpr_")]
    results = {
        output.name for operation in operations if operation.type != "constexpr_cast" for output in operation.outputs
    }
    return [
        operation for operation in operations if operation.type != "constexpr_cast" or results & set(_named(operation))
    ]


def _named(operation: Any) -> list[str]:
    """Names of the values that an operation takes."""
    return [
        binding.name
        for argument in operation.inputs.values()
        for binding in argument.arguments
        if binding.WhichOneof("binding") == "name"
    ]


def _used(block: Any) -> set[str]:
    """Names that plain operations take or that a block gives out, nested blocks included."""
    used = set(block.outputs)
    for operation in block.operations:
        if not operation.type.startswith("constexpr_"):
            used.update(_named(operation))
        for nested in operation.blocks:
            used |= _used(nested)
    return used


def _remove(block: Any, unwanted: set[int]) -> None:
    """Removes operations by identity, in nested blocks too."""
    for index in range(len(block.operations) - 1, -1, -1):
        if id(block.operations[index]) in unwanted:
            del block.operations[index]
        else:
            for nested in block.operations[index].blocks:
                _remove(nested, unwanted)


def _dense_value(blob: BlobWriter, array: npt.NDArray[Any]) -> Any:
    if array.size < _IMMEDIATE:
        return immediate_value(array)
    return file_value(array.dtype.name, array.shape, blob.add(array))
