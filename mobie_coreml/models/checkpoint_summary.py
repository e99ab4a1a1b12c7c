"""What `mobie checkpoint show` says of a checkpoint."""

from __future__ import annotations

import math
from typing import Any

from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.checkpoint_files import PARTS


def summarise(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything about a checkpoint but its weights, as JSON values; reads all files once for the digest."""
    return {
        "path": str(checkpoint.path),
        **{key: value for key, value in checkpoint.info.items() if key != "schema_version"},
        "prediction_type": checkpoint.schedule.prediction_type,
        "latent_channels": checkpoint.networks.unet.out_channels,
        "vocabulary": checkpoint.tokenizer.vocab_size,
        "parts": {
            part: {
                "parameters": sum(math.prod(shape) for shape in checkpoint.shapes(part).values()),
                "bytes": checkpoint.stored_bytes(part),
            }
            for part in PARTS
        },
        "configs": {part: checkpoint.networks.config(part).to_json() for part in PARTS},
        "digest": checkpoint.digest,
    }
