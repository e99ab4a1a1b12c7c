"""The small model that Core ML's own tests run on macOS, and the gates that they hold it to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import make_tiny_model
import numpy as np
import pytest

from mobie_coreml.manifest.read import load_manifest
from mobie_coreml.metrics import psnr
from mobie_coreml.runtime.base import open_runner

MADE_BY = {
    "text_states": "TextEncoder",
    "shifts": "Conditioner",
    "text_kv": "Conditioner",
    "image_latents": "Encoder",
    "denoised_latents": "Denoiser",
}


@pytest.mark.slow
def test_half_precision_reaches_the_gates_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Core ML on a CPU computes in half precision can pass: our executor does, rounding every result."""
    output = tmp_path / "tiny"
    monkeypatch.setattr(sys, "argv", ["make_tiny_model.py", str(output)])
    make_tiny_model.main()
    index = json.loads((output / "expected/index.json").read_text(encoding="utf-8"))
    expected = {
        name: np.fromfile(output / f"expected/{name}.f32", "<f4").reshape(shape)
        for name, shape in index["tensors"].items()
    }
    assert set(expected) == {"input_ids", "frame", "noisy_latents", "edited_frame", *MADE_BY}
    manifest = load_manifest(output / "model")
    monkeypatch.setattr(make_tiny_model, "open_runner", lambda path: open_runner(path, precision="fp16"))
    _, rounded = make_tiny_model.run_components(output / "model")
    for name, component in MADE_BY.items():
        assert psnr(expected[name], rounded[name]) >= manifest.gates.components[component].fp16, name
    assert psnr(expected["edited_frame"], np.rint(rounded["edited_frame"])) >= manifest.gates.edit.fp16
    with pytest.raises(SystemExit):
        make_tiny_model.main()
