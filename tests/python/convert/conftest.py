"""What the converter's tests share: checkpoints, toy components, and coremltools' own opinion of a package."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mobie_coreml.ane.tensors import TensorSpec
from mobie_coreml.convert.model import Conversion, convert_model
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint, new_checkpoint
from mobie_coreml.models.presets import PRESETS, GuidanceRange, Preset


@pytest.fixture(scope="session")
def small_preset() -> Preset:
    """A nano of two levels and a small autoencoder: every kind of block, little work."""
    nano = PRESETS["nano"]
    return dataclasses.replace(
        nano,
        frame_size=(128, 64),
        text_guidance=GuidanceRange(2.0, 14.0, 7.5),
        image_guidance=GuidanceRange(1.0, 3.0, 1.5),
        unet=dataclasses.replace(
            nano.unet,
            in_channels=8,
            out_channels=4,
            block_out_channels=(32, 64),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            num_attention_heads=(2, 2),
            norm_num_groups=16,
            cross_attention_dim=32,
        ),
        autoencoder=dataclasses.replace(
            nano.autoencoder,
            latent_channels=4,
            encoder_block_out_channels=(8, 8, 16, 16),
            decoder_block_out_channels=(16, 16, 8, 8),
        ),
        text_encoder=dataclasses.replace(
            nano.text_encoder, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
        ),
    )


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory, small_preset: Preset) -> Checkpoint:
    """A random checkpoint of `small_preset` with guidance inputs."""
    path = tmp_path_factory.mktemp("checkpoints") / "small"
    new_checkpoint(path, small_preset, seed=3, guidance_embedding=True)
    return load_checkpoint(path)


@pytest.fixture(scope="session")
def converted(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    """The small checkpoint, converted whole."""
    return convert_model(small_checkpoint, tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def model(converted: Conversion, tmp_path: Path) -> Path:
    """A copy of the converted model that a test may change."""
    return Path(shutil.copytree(converted.folder, tmp_path / "model"))


@dataclasses.dataclass
class Toy:
    """A module with the tensors it takes and gives, as a component."""

    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    compute: str = "fp16"
    name: str = "Toy"

    def load_weight(self, name: str) -> np.ndarray:
        """A parameter as the checkpoint would give it."""
        return self.module.state_dict()[name].numpy()


@pytest.fixture(scope="session")
def toy() -> Callable[..., Toy]:
    """Makes a component of a module and example inputs; outputs are found by running it once."""

    def make(module: nn.Module, *examples: torch.Tensor, compute: str = "fp16", boundary: str | None = None) -> Toy:
        module = module.eval().requires_grad_(False)
        kind = boundary or {"fp16": "float16", "fp32": "float32"}[compute]
        with torch.no_grad():
            results = module(*examples)
        results = results if isinstance(results, tuple) else (results,)

        def spec(name: str, tensor: torch.Tensor) -> TensorSpec:
            dtype: Any = kind if tensor.is_floating_point() else "int32"
            return TensorSpec(name, tuple(tensor.shape), dtype, "", f"{name}.")

        inputs = tuple(spec(f"in_{index}", tensor) for index, tensor in enumerate(examples))
        outputs = tuple(spec(f"out_{index}", tensor) for index, tensor in enumerate(results))
        return Toy(module, inputs, outputs, compute)

    return make


@pytest.fixture(scope="session")
def coremltools() -> ModuleType:
    """coremltools, without what it prints when imported away from macOS."""
    logging.getLogger("coremltools").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        import coremltools as module
    return module


@pytest.fixture(scope="session")
def strict_check(coremltools: ModuleType) -> Callable[[Path], Any]:
    """Checks a package against coremltools' definitions of operations; gives back coremltools' program of it.

    - coremltools loads the package and infers the type of every value: shapes and dtypes must be the declared ones;
    - every operation exists in the package's operation set and has each input its definition requires or has a default
      for, no other, each of an allowed type, with one type a type domain, and constant where it must be.
    """
    from coremltools.converters.mil._deployment_compatibility import AvailableTarget
    from coremltools.converters.mil.backend.mil.helper import types_to_proto_primitive
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    def definition(kind: str, target: Any) -> Any:
        versions = SSAOpRegistry.core_ops[kind]
        return versions[max(version for version in versions if version <= target)]

    def check_operation(operation: Any, written: Any, target: Any) -> None:
        cls = definition(operation.op_type, target)
        allowed = cls.input_spec.input_types
        given = set(written.inputs) | set(written.attributes) - {"name"}
        assert given <= allowed.keys(), f"{operation.name} has unknown inputs {given - allowed.keys()}"
        required = {name for name, rule in allowed.items() if not rule.optional}
        required |= {name for name, value in operation.default_inputs()._default_inputs if value is not None}
        assert required <= given, f"{operation.op_type} {operation.name} lacks {required - given}"
        domains: dict[str, set[Any]] = {}
        for name in given:
            rule, operand = allowed[name], operation.inputs[name]
            for var in operand if isinstance(operand, (list, tuple)) else [operand]:
                domain_id = getattr(rule, "type_domain_id", None)
                domain = cls.type_domains[domain_id] if domain_id else getattr(rule, "type_domain", ())
                domain = domain if isinstance(domain, (list, tuple)) else (domain,)
                assert not domain or var.dtype in domain, f"{operation.name}.{name} is {var.dtype}"
                if domain_id:
                    domains.setdefault(domain_id, set()).add(var.dtype)
                maker = "input" if var.op is None else var.op.op_type
                is_constant = maker == "const" or maker.startswith("constexpr_")
                assert is_constant or not rule.const, f"{operation.name}.{name} comes from {maker}"
        for domain_id, found in domains.items():
            assert len(found) == 1, f"{operation.name} mixes types {found} in domain {domain_id}"

    def check(path: Path) -> Any:
        model = coremltools.models.MLModel(str(path), skip_model_load=True)
        spec = model.get_spec()
        target = {8: AvailableTarget.iOS17, 9: AvailableTarget.iOS18}[spec.specificationVersion]
        function = spec.mlProgram.functions["main"]
        block = function.block_specializations[function.opset]
        inferred = load(spec, spec.specificationVersion, model.weights_dir)
        by_name = {var.name: var for made in inferred.functions["main"].operations for var in made.outputs}
        for written in block.operations:
            if written.type == "const":
                continue
            for output in written.outputs:
                declared, var = output.type.tensorType, by_name[output.name]
                shape = tuple(dimension.constant.size for dimension in declared.dimensions)
                assert tuple(var.shape) == shape, f"{output.name}: {var.shape} is inferred, {shape} declared"
                code = types_to_proto_primitive(var.dtype)
                assert code == declared.dataType, (
                    f"{output.name}: {var.dtype} is inferred, {declared.dataType} declared"
                )
            check_operation(by_name[written.outputs[0].name].op, written, target)
        return inferred

    return check
