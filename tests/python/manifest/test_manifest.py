"""`mobie.json`: what it says comes back, and what cannot be true is refused with the field's name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vectors.base_manifests import embedded
from vectors.manifests import put

from mobie_coreml.errors import InputError
from mobie_coreml.manifest import Manifest, ManifestError, load_manifest, save_manifest, schema
from mobie_coreml.manifest.read import manifest_json, parse_manifest
from mobie_coreml.manifest.rules import is_safe

DIGEST = "0" * 64


def content() -> dict[str, Any]:
    """A valid manifest with everything in it: two steps, palettes in the Denoiser, extensions."""
    value = embedded()
    steps = [
        {"timestep": 999, "x0": 0.1, "latents": 0.9, "noise": 0.0},
        {"timestep": 0, "x0": 1.0, "latents": 0.0, "noise": 0.0},
    ]
    palettes = {"recipe": "6bit", "recipe_sha256": DIGEST, "tensors": 12, "snr_db": 32.5}
    for path, new in (
        ("schedule.steps", steps),
        ("components.Denoiser.weight_bits", 6.05),
        ("components.Denoiser.palettes", palettes),
        ("gates.components.Denoiser", {"fp32": 50.0, "fp16": 40.0, "reason": "palettes", "palettized": 34.0}),
        ("gates.edit", {"fp32": 35.0, "fp16": 35.0, "reason": "palettes", "palettized": 20.0}),
        ("extensions", {"other_tool": {"anything": [1, 2]}}),
    ):
        put(value, path, new)
    return value


def parse(value: Any) -> Manifest:
    return parse_manifest(json.dumps(value))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    manifest = parse(content())
    assert manifest_json(manifest) == content()
    save_manifest(manifest, tmp_path)
    assert load_manifest(tmp_path) == manifest
    assert json.loads((tmp_path / "mobie.json").read_text()) == content()


def test_only_the_part_for_extensions_is_open() -> None:
    """Every object of the schema but the documented ones refuses what it does not list."""
    open_objects: list[str] = []

    def walk(node: Any, where: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and node.get("additionalProperties") is not False:
                open_objects.append(where)
            for key, item in node.items():
                walk(item, f"{where}.{key}")

    walk(schema(), "")
    assert open_objects == [
        ".properties.provenance.properties.origin",
        ".properties.provenance.properties.tools",
        ".properties.extensions",
    ]


WRONG: list[tuple[str, Any, str]] = [
    ("schema_version", 1, "schema_version is 1; this version of mobie knows 2"),
    ("schema_version", 3, "schema_version is 3"),
    ("schema_version", True, "schema_version is True"),
    ("schema_version", "1", "schema_version is '1'"),
    ("surprise", 1, "'surprise' was unexpected"),
    ("frame.depth", 1, "frame: Additional properties"),
    ("frame.width", 248, "latents.shape: 32x24 latents of 8 pixels are not a frame of 248x192"),
    ("frame.width", -256, "frame.width: -256"),
    ("frame.width", 10**18, "frame.width: 1000000000000000000"),
    ("latents.shape", [2, 8, 24, 32], "latents.shape: a batch of 2"),
    ("latents.scaling_factor", 0, "latents.scaling_factor"),
    ("method.prediction_type", "flow", "method.prediction_type: 'flow'"),
    ("method.noise_schedule.beta_start", 0.5, "method.noise_schedule.beta_start: larger"),
    ("method.guidance.text.default", 20.0, "method.guidance.text: the default 20 is outside 2 to 14"),
    ("method.guidance.kind", "three-pass", "method.guidance.kind: three-pass"),
    ("method.guidance.passes[0].weight.constant", 0.5, "method.guidance.passes: the weights do not sum to 1"),
    ("method.guidance.passes", [], "method.guidance.passes"),
    ("noise.generator", "mersenne", "noise.generator"),
    ("schedule.steps[0].timestep", 1000, "schedule.steps[0].timestep: 1000 is not below 1000"),
    ("schedule.steps[1].timestep", 999, "schedule.steps[1].timestep: 999 is not below the step before"),
    ("schedule.steps[0].x0", 1e9, "schedule.steps[0].x0: 1000000000.0"),
    ("schedule.steps[0].x0", "1", "schedule.steps[0].x0: '1'"),
    ("components", {}, "components"),
    ("components.Denoiser.file", "../Denoiser.mlpackage", "components.Denoiser.file"),
    ("components.Denoiser.file", "Other.mlpackage", "components.Denoiser.file: Other.mlpackage instead"),
    ("components.Denoiser.form", "compiled", "components.Denoiser.file: Denoiser.mlpackage instead"),
    ("components.Denoiser.files[0].path", "/etc/passwd", "components.Denoiser.files[0].path"),
    ("components.Denoiser.files[0].path", "Denoiser.mlpackage/../../x", "components.Denoiser.files[0].path"),
    ("components.Denoiser.files[0].path", "Denoiser.mlpackage\\x", "components.Denoiser.files[0].path"),
    ("components.Denoiser.files[0].path", "Encoder.mlpackage/Manifest.json", "components.Denoiser.files[0].path"),
    ("components.Denoiser.files[0].sha256", "abc", "components.Denoiser.files[0].sha256"),
    ("components.Denoiser.files[0].bytes", -1, "components.Denoiser.files[0].bytes"),
    (
        "components.Denoiser.inputs[0].shape",
        [1, 8, 24, 24],
        "components.Denoiser.inputs[0].shape: [1, 8, 24, 24] is not the",
    ),
    (
        "components.Denoiser.inputs[2].shape",
        [1, 30, 1, 1],
        "components.Denoiser.inputs[2].shape: [1, 30, 1, 1] float16",
    ),
    ("components.Denoiser.inputs[2].dtype", "float32", "components.Denoiser.inputs[2].shape"),
    ("components.Denoiser.inputs[0].source", "", "components.Denoiser.inputs[0].source"),
    ("components.Denoiser.inputs[0].source", "moon", "components.Denoiser.inputs[0].source: 'moon'"),
    ("components.Denoiser.inputs[1].name", "image_latents", "components.Denoiser.inputs: a name appears twice"),
    ("components.Denoiser.outputs[0].source", "frame", "components.Denoiser.outputs[0].source"),
    ("components.Encoder.inputs[0].shape", [1, 3, 192, 192], "components.Encoder.inputs[0].shape"),
    ("components.Encoder.inputs[0].shape", [3, 192, 256], "components.Encoder.inputs[0].shape"),
    ("components.TextEncoder.inputs[0].minimum", 9999.0, "components.TextEncoder.inputs[0].minimum"),
    ("components.Encoder.weight_bits", 8.1, "components.Encoder.weight_bits: 8.1 without palettes"),
    ("components.Denoiser.palettes.tensors", 0, "components.Denoiser.palettes.tensors"),
    ("components.Denoiser.palettes.recipe_sha256", "6bit", "components.Denoiser.palettes.recipe_sha256"),
    ("components.Denoiser.palettes.error", 1, "components.Denoiser.palettes: Additional properties"),
    (
        "gates.components.Denoiser",
        {"fp32": 50.0, "fp16": 40.0},
        "gates.components.Denoiser.palettized: none, but palettes there",
    ),
    ("gates.components.Encoder.palettized", 30.0, "gates.components.Encoder.palettized: no palettes there"),
    ("gates.edit", {"fp32": 35.0, "fp16": 35.0}, "gates.edit.palettized: none, but palettes in the components"),
    ("components.Denoiser.compute_units", "npu", "components.Denoiser.compute_units"),
    ("components.Denoiser.deployment_target", "iOS1", "components.Denoiser.deployment_target"),
    ("components.UNet", {}, "components"),
    ("tokenizer.files[0].path", "merges.txt", "tokenizer.files: merges.txt, tokenizer/vocab.json instead"),
    ("gates.components", {}, "gates.components: Conditioner, Decoder, Denoiser, Encoder, TextEncoder"),
    ("gates.edit.fp32", 0, "gates.edit.fp32"),
    ("provenance.checkpoint_sha256", 5, "provenance.checkpoint_sha256"),
    ("provenance.tools.mobie", 1, "provenance.tools.mobie"),
]


@pytest.mark.parametrize(("path", "new", "message"), WRONG, ids=[f"{path}={new}"[:60] for path, new, _ in WRONG])
def test_what_cannot_be_true_is_refused_with_the_fields_name(path: str, new: Any, message: str) -> None:
    value = content()
    put(value, path, new)
    with pytest.raises(ManifestError) as caught:
        parse(value)
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(("bits", "size", "refused"), [(6.05, 2e9, False), (8.05, 2e9, True), (8.05, 9e8, False)])
def test_large_denoisers_of_many_bits_are_for_macos(bits: float, size: float, refused: bool) -> None:
    value = content()
    put(value, "components.Denoiser.weight_bits", bits)
    put(value, "components.Denoiser.weight_bytes", int(size))
    if refused:
        with pytest.raises(ManifestError, match=r"components\.Denoiser\.macos_only: false"):
            parse(value)
        put(value, "components.Denoiser.macos_only", True)
    parse(value)


@pytest.mark.parametrize("name", sorted(content().keys() - {"extensions"}))
def test_every_part_is_required(name: str) -> None:
    value = content()
    del value[name]
    with pytest.raises(ManifestError, match=name):
        parse(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{", "not valid JSON"),
        ('{"schema_version": NaN}', "NaN is not a JSON number"),
        ('{"schema_version": Infinity}', "Infinity is not a JSON number"),
        ('{"schema_version": 1e999}', "1e999 is too large"),
        ('{"schema_version": ' + "9" * 5000 + "}", "is too large"),
        ('{"schema_version": 1, "schema_version": 1}', "appears twice"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_damaged_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        parse_manifest(text)


def test_whole_floats_are_integers() -> None:
    value = content()
    value["frame"]["width"] = 256.0
    assert type(parse(value).frame.width) is int


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model folder"):
        load_manifest(tmp_path / "none")
    with pytest.raises(InputError, match=r"it has no mobie\.json"):
        load_manifest(tmp_path)
    (tmp_path / "mobie.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(tmp_path)
    with (tmp_path / "mobie.json").open("wb") as file:
        file.truncate(1 << 25)
    with pytest.raises(ManifestError, match="larger than 16 MiB"):
        load_manifest(tmp_path)


def test_what_would_not_be_read_is_not_written(tmp_path: Path) -> None:
    value = content()
    manifest = parse(value)
    broken = copy.copy(manifest)
    object.__setattr__(broken, "components", {})
    with pytest.raises(ManifestError, match="components"):
        save_manifest(broken, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_paths_stay_inside() -> None:
    assert is_safe("Denoiser.mlpackage/Data/com.apple.CoreML/weights/weight.bin")
    for path in ("/a", "a/../b", "..", "a//b", "a/", "./a", "C:/a", "a\\b", "a\nb", "a\0b", ""):
        assert not is_safe(path), path


def leaves(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, f"{path}[{index}]")]
    return [path]


LEAVES = [leaf for leaf in leaves(content()) if not leaf.startswith(("extensions", "provenance.origin"))]
NOISE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)


def mutate(leaf: str, new: Any) -> None:
    """A changed manifest is read back as written or refused; nothing else happens."""
    value = content()
    put(value, leaf, new)
    try:
        manifest = parse(value)
    except ManifestError:
        return
    assert parse(manifest_json(manifest)) == manifest


@given(st.sampled_from(LEAVES), NOISE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_change_is_read_or_refused(leaf: str, new: Any) -> None:
    mutate(leaf, new)


@pytest.mark.slow
@given(st.sampled_from(LEAVES), NOISE)
@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_change_is_read_or_refused_at_length(leaf: str, new: Any) -> None:
    mutate(leaf, new)
