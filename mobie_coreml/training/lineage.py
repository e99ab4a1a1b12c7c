"""Where a checkpoint comes from: the trainings behind it, first made first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobie_coreml.models.checkpoint import Checkpoint

TOLD = ("kind", "stage", "command", "steps", "minutes", "seed", "data", "data_sha256", "source", "revision")
"""What is told of each ancestor, where it is known."""


def own_entry(provenance: Mapping[str, Any], digest: str | None = None) -> dict[str, Any]:
    """What a provenance says of its own training, and the digest of what came out."""
    told = {name: provenance[name] for name in TOLD if name in provenance}
    return told if digest is None else {**told, "sha256": digest}


def lineage(*checkpoints: Checkpoint | None) -> list[dict[str, Any]]:
    """The ancestors of checkpoints and they themselves, each once."""
    entries: list[dict[str, Any]] = []
    for checkpoint in checkpoints:
        if checkpoint is None:
            continue
        provenance = checkpoint.info["provenance"]
        before = provenance.get("lineage", [])
        told = [entry for entry in before if isinstance(entry, dict)] if isinstance(before, list) else []
        entries += [*told, own_entry(provenance, checkpoint.digest)]
    return [entry for place, entry in enumerate(entries) if entry not in entries[:place]]
