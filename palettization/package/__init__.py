"""The one reader and writer of Core ML packages in this project: specification, weight files, digests.

Needs numpy, protobuf and coremltools' protobuf modules, which are loaded without importing coremltools.
"""

from palettization.package.blob import BlobReader, BlobRecord
from palettization.package.blob_writer import BlobWriter
from palettization.package.constants import Constants
from palettization.package.deferred import DeferredBlob
from palettization.package.digests import combined_digest, package_digest, sha256_file, tree_digests
from palettization.package.elements import Element
from palettization.package.errors import (
    BlobError,
    ConstantError,
    PackageExistsError,
    PackageLayoutError,
    PackageWriteError,
    SpecError,
    UnsafePathError,
    WeightFormError,
)
from palettization.package.features import Feature, Interface, read_interface
from palettization.package.program import Function, Located, constants_of, operation_name, walk_block
from palettization.package.protobuf import proto
from palettization.package.reader import Package, read_spec
from palettization.package.summary import FunctionSummary, PackageSummary, WeightSummary, summarise
from palettization.package.values import (
    WEIGHT_FILE,
    element_name,
    file_value,
    immediate_array,
    immediate_value,
    set_tensor_type,
    tensor_shape,
)
from palettization.package.weights import decode_constexpr, decode_outputs
from palettization.package.writer import PackageWriter, WrittenPackage, write_package

__all__ = [
    "WEIGHT_FILE",
    "BlobError",
    "BlobReader",
    "BlobRecord",
    "BlobWriter",
    "ConstantError",
    "Constants",
    "DeferredBlob",
    "Element",
    "Feature",
    "Function",
    "FunctionSummary",
    "Interface",
    "Located",
    "Package",
    "PackageExistsError",
    "PackageLayoutError",
    "PackageSummary",
    "PackageWriteError",
    "PackageWriter",
    "SpecError",
    "UnsafePathError",
    "WeightFormError",
    "WeightSummary",
    "WrittenPackage",
    "combined_digest",
    "constants_of",
    "decode_constexpr",
    "decode_outputs",
    "element_name",
    "file_value",
    "immediate_array",
    "immediate_value",
    "operation_name",
    "package_digest",
    "proto",
    "read_interface",
    "read_spec",
    "set_tensor_type",
    "sha256_file",
    "summarise",
    "tensor_shape",
    "tree_digests",
    "walk_block",
    "write_package",
]
