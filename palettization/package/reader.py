"""Opening a package: specification, program, weights, constants."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt

from palettization.package.blob import BlobReader, BlobRecord
from palettization.package.elements import BY_MIL
from palettization.package.errors import BlobError, ConstantError, SpecError, WeightFormError
from palettization.package.layout import Layout, find_layout
from palettization.package.program import Function, Located, constants_of, operation_name, read_functions
from palettization.package.protobuf import proto
from palettization.package.values import WEIGHT_FILE, element_name, immediate_array, reshaped, tensor_shape

_SPEC_LIMIT = (1 << 31) - 1


class Package:
    """A Core ML package holding an ML Program, opened for reading.

    Attributes:
        path: As opened.
        layout: Where its files are.
        spec: The protobuf `Model`.
        program: The MIL `Program` message.
        functions: By name, in sorted order.
    """

    def __init__(
        self, layout: Layout, path: Path, spec: Any, weight_files: Mapping[str, BlobReader] | None = None
    ) -> None:
        """Takes what is open already.

        Args:
            layout: Where its files are; those of a package that is not on disk need not exist.
            path: As opened.
            spec: The protobuf `Model`, holding an ML Program.
            weight_files: By "@model_path/..." names; others are opened when needed.
        """
        self.path = path
        self.layout = layout
        self.spec = spec
        self.program = spec.mlProgram
        self.functions: dict[str, Function] = read_functions(self.program, str(path))
        self._blobs: dict[str, BlobReader] = dict(weight_files or {})

    @classmethod
    def open(cls, path: Path | str) -> Package:
        """Opens the .mlpackage folder (or plain .mlmodel file) at `path`. Weights are not read.

        Raises:
            PackageLayoutError: not a package.
            UnsafePathError: a name in it leads out of it.
            SpecError: the specification is damaged or is not an ML Program.
        """
        path = Path(path)
        layout = find_layout(path)
        return cls(layout, path, read_spec(layout.model))

    def __enter__(self) -> Package:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the weight files; arrays handed out stay valid."""
        for blob in self._blobs.values():
            blob.close()
        self._blobs.clear()

    @classmethod
    def in_memory(cls, path: Path, spec: Any, weight_files: Mapping[str, BlobReader]) -> Package:
        """A package that is not on disk.

        Args:
            path: What errors call it.
            spec: The protobuf `Model`, holding an ML Program.
            weight_files: By "@model_path/..." names.

        Raises:
            SpecError: the program contradicts itself.
        """
        return cls(Layout(path, path / "model.mlmodel", path), path, spec, weight_files)

    @property
    def specification_bytes(self) -> int:
        """Size of the specification."""
        model = self.layout.model
        return model.stat().st_size if model.is_file() else int(self.spec.ByteSize())

    @property
    def blob(self) -> BlobReader:
        """The usual weight file, "@model_path/weights/weight.bin".

        Raises:
            BlobError: the package has none.
        """
        return self.blob_file(WEIGHT_FILE)

    def blob_file(self, name: str) -> BlobReader:
        """The weight file that a `blobFileValue.fileName` names, opened once.

        Raises:
            UnsafePathError: the name leads out of the package.
            BlobError: there is no such file, or it is not a weight file.
        """
        found = self._blobs.get(name)
        if found is None:
            found = self._blobs[name] = BlobReader(self.layout.weight_file(name))
        return found

    def constant(self, value: Any, name: str = "", *, copy: bool = False) -> npt.NDArray[Any]:
        """The array of a MIL `Value`, wherever it lies.

        Args:
            value: A `Value` message, immediate or in a weight file.
            name: Of the tensor, for error messages.
            copy: As in `BlobReader.read`.

        Returns:
            The values in their shape, rank 0 for scalars. See `BlobReader.read` for the dtypes; file values are
            read-only unless copied.

        Raises:
            ConstantError: the value contradicts its own type.
            BlobError: the weight file is damaged or holds something else than the specification says.
            UnsafePathError: its file name leads out of the package.
        """
        if value.WhichOneof("value") != "blobFileValue":
            with self.located():
                return immediate_array(value, name)
        record, shape = self.record(value, name)
        blob = self.blob_file(value.blobFileValue.fileName)
        with self.located():
            return reshaped(blob.read(record.offset, name, copy=copy), shape, name)

    def record(self, value: Any, name: str = "") -> tuple[BlobRecord, tuple[int, ...]]:
        """Where a file value lies, and its shape, without reading it.

        Raises:
            ConstantError, BlobError, UnsafePathError: as `constant`.
        """
        if value.WhichOneof("value") != "blobFileValue" or value.type.WhichOneof("type") != "tensorType":
            raise ConstantError(f"{self.path}: constant {name or '?'} is not a tensor in a weight file.")
        with self.located():
            shape = tensor_shape(value.type.tensorType, name)
        element = BY_MIL.get(value.type.tensorType.dataType)
        blob = self.blob_file(value.blobFileValue.fileName)
        record = blob.record(value.blobFileValue.offset, name)
        if element is not record.element or math.prod(shape) != record.count:
            raise BlobError(
                f"{blob.path} holds {record.count} {record.element.name} elements at offset {record.offset}, but "
                f"tensor {name or '?'} is {element_name(value.type.tensorType.dataType)} of shape {shape}.",
                "Specification and weights do not belong together: copy or convert the package again.",
            )
        return record, shape

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """Adds the package's path to errors about constants and weight forms raised inside, which know only names."""
        try:
            yield
        except (ConstantError, WeightFormError) as error:
            raise type(error)(f"{self.path}: {error.message}", error.hint) from error

    def walk(self) -> Iterator[Located]:
        """All operations of all functions, nested blocks included."""
        for function in self.functions.values():
            yield from function.walk()

    def check_weights(self) -> None:
        """Checks every weight the program names without reading data: inside its file, of the declared type and
        size, and no two overlapping in part.

        Raises:
            ConstantError, BlobError, UnsafePathError: as `constant`.
        """
        spans: dict[str, dict[int, BlobRecord]] = {}
        for located in self.walk():
            for parameter, value in constants_of(located.operation):
                if value.WhichOneof("value") == "blobFileValue":
                    record, _ = self.record(value, f"{operation_name(located.operation)}.{parameter}")
                    spans.setdefault(value.blobFileValue.fileName, {})[record.offset] = record
        for name, records in spans.items():
            end, before = 0, 0
            for record in sorted(records.values(), key=lambda item: item.data_offset):
                if record.size and record.data_offset < end:
                    raise BlobError(
                        f"{self.blob_file(name).path}: the records at {before} and {record.offset} overlap.",
                        "The file is damaged: copy or convert the package again.",
                    )
                end, before = max(end, record.data_offset + record.size), record.offset

    @property
    def default_function(self) -> str:
        """The function that runs unless another is asked for."""
        named = str(self.spec.description.defaultFunctionName)
        if named in self.functions:
            return named
        return "main" if "main" in self.functions else next(iter(self.functions))

    def function(self, name: str | None = None) -> Function:
        """The function called `name`, or the default one.

        Raises:
            SpecError: there is none of that name.
        """
        wanted = name or self.default_function
        if wanted not in self.functions:
            raise SpecError(f"{self.path} has no function {wanted!r}.", f"It has: {', '.join(self.functions)}.")
        return self.functions[wanted]

    def description(self, function: str | None = None) -> Any:
        """The protobuf message with `.input`, `.output` and `.state` of a function: the model's own description, or
        the function's where the package is multifunction.

        Raises:
            SpecError: there is no such function or it is not described.
        """
        wanted = self.function(function).name
        for described in self.spec.description.functions:
            if described.name == wanted:
                return described
        if self.spec.description.functions and wanted != self.default_function:
            raise SpecError(f"{self.path} does not describe its function {wanted!r}.")
        return self.spec.description

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Author, licence, version, description and the user-defined entries; empty ones are left out.

        Keys: "description", "version", "author", "license", and user-defined keys as they are.
        """
        stored = self.spec.description.metadata
        entries = {
            "description": stored.shortDescription,
            "version": stored.versionString,
            "author": stored.author,
            "license": stored.license,
        }
        user = {str(key): str(stored.userDefined[key]) for key in sorted(stored.userDefined)}
        return {key: str(text) for key, text in entries.items() if text} | user


def read_spec(path: Path) -> Any:
    """The protobuf `Model` in a specification file.

    Raises:
        SpecError: not a protobuf, too large, or not an ML Program.
    """
    hint = "The file is damaged or was not copied completely: fetch or convert it again."
    message = proto().Model_pb2.Model()
    try:
        if path.stat().st_size > _SPEC_LIMIT:
            raise SpecError(f"{path} is larger than 2 GiB, more than a specification can be.")
        message.ParseFromString(path.read_bytes())
    except SpecError:
        raise
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # protobuf raises DecodeError, and other types for text that is not UTF-8
        raise SpecError(f"{path} is not a Core ML specification: {error}.", hint) from error
    kind = message.WhichOneof("Type")
    if kind is None or message.specificationVersion == 0:
        raise SpecError(f"{path} is not a Core ML specification.", hint)
    if kind != "mlProgram":
        raise SpecError(
            f"{path} holds a {kind}, not an ML Program.",
            "Convert the model again with convert_to='mlprogram' (iOS 15 or later).",
        )
    return message
