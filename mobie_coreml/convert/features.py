"""The description of a package: its inputs and outputs as apps see them, and its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobie_coreml.ane.tensors import TensorSpec
from palettization.package import proto

SPECIFICATION_VERSIONS = {"iOS17": 8, "iOS18": 9}
"""Version of the model format that each deployment target reads; the operation set is "CoreML7", "CoreML8"."""

TARGETS = tuple(SPECIFICATION_VERSIONS)


@dataclass(frozen=True)
class Metadata:
    """What a package says about itself.

    Attributes:
        description: One sentence.
        author: Who made the weights.
        licence: Of the weights.
        version: Of the tool that wrote the package.
        entries: Further entries, shown by Xcode under "Additional Metadata".
    """

    description: str = ""
    author: str = ""
    licence: str = ""
    version: str = ""
    entries: Mapping[str, str] = field(default_factory=dict)


def add_feature(features: Any, tensor: TensorSpec) -> None:
    """Appends a tensor, with its meaning, unit and range, to the inputs or outputs of a model description.

    Images are 8-bit RGB pixel buffers; the program sees them as fp32 tensors (1, 3, H, W) from 0 to 255.
    """
    types = proto().FeatureTypes_pb2
    feature = features.add(name=tensor.name, shortDescription=tensor.description)
    if tensor.dtype == "image":
        _, _, height, width = tensor.shape
        image = feature.type.imageType
        image.width, image.height, image.colorSpace = width, height, types.ImageFeatureType.RGB
        return
    code = {"float16": "FLOAT16", "float32": "FLOAT32", "int32": "INT32"}[tensor.dtype]
    feature.type.multiArrayType.dataType = getattr(types.ArrayFeatureType, code)
    feature.type.multiArrayType.shape.extend(tensor.shape)


def new_spec(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], metadata: Metadata, target: str) -> Any:
    """A protobuf `Model` without a program yet."""
    spec = proto().Model_pb2.Model(specificationVersion=SPECIFICATION_VERSIONS[target])
    for tensor in inputs:
        add_feature(spec.description.input, tensor)
    for tensor in outputs:
        add_feature(spec.description.output, tensor)
    written = spec.description.metadata
    written.shortDescription, written.author = metadata.description, metadata.author
    written.license, written.versionString = metadata.licence, metadata.version
    for name, text in metadata.entries.items():
        written.userDefined[name] = text
    return spec
