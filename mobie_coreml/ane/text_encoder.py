"""CLIP's text encoder on (1, C, 1, 77); paths and parameter names are transformers'."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.ane.attention import AttentionForm, attend, causal_mask
from mobie_coreml.ane.norms import LayerNorm
from mobie_coreml.models.config import TextEncoderConfig


class CLIPTextEmbeddings(nn.Module):
    """Token plus learned position embeddings."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(1, 77) ids -> (1, C, 1, 77)."""
        states = self.token_embedding(input_ids) + self.position_embedding.weight
        result: torch.Tensor = states.transpose(1, 2).unsqueeze(2)
        return result


class CLIPAttention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: TextEncoderConfig, form: AttentionForm) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.form = form
        self.k_proj = nn.Conv2d(width, width, 1)
        self.v_proj = nn.Conv2d(width, width, 1)
        self.q_proj = nn.Conv2d(width, width, 1)
        self.out_proj = nn.Conv2d(width, width, 1)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(1, C, 1, 77) -> same."""
        attended = attend(self.q_proj(hidden), self.k_proj(hidden), self.v_proj(hidden), self.heads, self.form, mask)
        result: torch.Tensor = self.out_proj(attended)
        return result


class CLIPMLP(nn.Module):
    """Two 1x1 convolutions around the activation."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.quick = config.hidden_act == "quick_gelu"
        self.fc1 = nn.Conv2d(config.hidden_size, config.intermediate_size, 1)
        self.fc2 = nn.Conv2d(config.intermediate_size, config.hidden_size, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, C, 1, 77) -> same."""
        hidden = self.fc1(hidden)
        hidden = hidden * torch.sigmoid(1.702 * hidden) if self.quick else F.gelu(hidden)
        result: torch.Tensor = self.fc2(hidden)
        return result


class CLIPEncoderLayer(nn.Module):
    """Attention and MLP, each on a normalised residual branch."""

    def __init__(self, config: TextEncoderConfig, form: AttentionForm) -> None:
        super().__init__()
        self.self_attn = CLIPAttention(config, form)
        self.layer_norm1 = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = CLIPMLP(config)
        self.layer_norm2 = LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(1, C, 1, 77) -> same."""
        hidden = hidden + self.self_attn(self.layer_norm1(hidden), mask)
        result: torch.Tensor = hidden + self.mlp(self.layer_norm2(hidden))
        return result


class CLIPLayers(nn.Module):
    """The stack of layers."""

    def __init__(self, config: TextEncoderConfig, form: AttentionForm) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CLIPEncoderLayer(config, form) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(1, C, 1, 77) -> same."""
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return hidden


class CLIPTextTransformer(nn.Module):
    """Embeddings, layers and final norm."""

    def __init__(self, config: TextEncoderConfig, form: AttentionForm) -> None:
        super().__init__()
        self.embeddings = CLIPTextEmbeddings(config)
        self.encoder = CLIPLayers(config, form)
        self.final_layer_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(1, 77) ids -> (1, C, 1, 77)."""
        result: torch.Tensor = self.final_layer_norm(self.encoder(self.embeddings(input_ids), mask))
        return result


class TextEncoder(nn.Module):
    """Prompt to text states.

    Attributes:
        constants: Values of the buffers by name.
    """

    def __init__(self, config: TextEncoderConfig, form: AttentionForm) -> None:
        super().__init__()
        self.text_model = CLIPTextTransformer(config, form)
        self.constants: Mapping[str, npt.NDArray[np.float32]] = {
            "causal_mask": causal_mask(form, config.max_position_embeddings)
        }
        self.causal_mask: torch.Tensor
        for name, values in self.constants.items():
            self.register_buffer(name, torch.empty(values.shape))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """input_ids int32 (1, 77) -> text_states (1, C, 1, 77)."""
        result: torch.Tensor = self.text_model(input_ids, self.causal_mask)
        return result
