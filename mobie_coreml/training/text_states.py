"""Text states of a frozen text encoder, kept where prompts come again."""

from __future__ import annotations

from collections import OrderedDict

import torch

from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.models.tokenizer import CLIPTokenizer

MOST_BYTES = 256 * 1024 * 1024


class TextStates:
    """Token ids to text states, without gradients.

    On a CPU each prompt is encoded by itself and its states are kept (the last `MOST_BYTES` of them): prompts repeat,
    and a state does not depend on what it happened to be encoded with. On other devices a batch is encoded at once.

    Args:
        encoder: The text encoder; it is frozen.
        tokenizer: Of the null prompt.
    """

    def __init__(self, encoder: CLIPTextEncoder, tokenizer: CLIPTokenizer) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        self.null_ids = torch.tensor(tokenizer.encode("").ids)
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    @torch.no_grad()
    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, 77) -> (B, 77, C), fp32."""
        self.encoder.to(ids.device)
        with torch.autocast(ids.device.type, enabled=False):
            if ids.device.type != "cpu":
                states: torch.Tensor = self.encoder(ids)
                return states
            return torch.stack([self._one(row) for row in ids])

    def null(self, count: int, device: torch.device) -> torch.Tensor:
        """States of the empty prompt, (count, 77, C)."""
        return self(self.null_ids[None].to(device)).expand(count, -1, -1)

    def _one(self, ids: torch.Tensor) -> torch.Tensor:
        key = ids.numpy().tobytes()
        found = self._kept.get(key)
        if found is None:
            found = self.encoder(ids[None])[0]
            self._kept[key] = found
            if len(self._kept) * found.numel() * found.element_size() > MOST_BYTES:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found
