"""The committed stages load, and each says which one it was made of."""

from __future__ import annotations

from pathlib import Path

from mobie_coreml.models.checkpoint import EMBEDDED, Checkpoint, load_checkpoint

STAGES = Path(__file__).parents[3] / "checkpoints"


def provenance(checkpoint: Checkpoint) -> dict[str, object]:
    return dict(checkpoint.info["provenance"])


def test_the_embedded_model_comes_from_the_stages_beside_it() -> None:
    teacher, guidance = load_checkpoint(STAGES / "teacher"), load_checkpoint(STAGES / "guidance")
    one_step = load_checkpoint(EMBEDDED)
    assert provenance(guidance)["parent_sha256"] == teacher.digest
    assert provenance(one_step)["parent_sha256"] == guidance.digest
    stages = [provenance(one)["stage"] for one in (teacher, guidance, one_step)]
    assert stages == ["teacher", "guidance", "one-step"]
    inputs = [one.networks.unet.guidance_embedding for one in (teacher, guidance, one_step)]
    assert inputs == [False, True, True]


def test_all_weights_stay_within_what_a_clone_should_cost() -> None:
    files = {
        file.resolve()
        for stage in (STAGES / "teacher", STAGES / "guidance", load_checkpoint(EMBEDDED).path)
        for file in stage.rglob("*.safetensors")
    }
    assert sum(file.stat().st_size for file in files) <= 60e6
