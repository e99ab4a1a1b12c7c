"""CLIP's text encoder, with transformers' parameter names (`text_model.` and all)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.models.config import TextEncoderConfig


class CLIPTextEmbeddings(nn.Module):
    """Token plus learned position embeddings."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(B, S) ids -> (B, S, C)."""
        result: torch.Tensor = self.token_embedding(input_ids) + self.position_embedding.weight[: input_ids.shape[1]]
        return result


class CLIPAttention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, S, C) -> (B, S, C)."""
        query, key, value = (
            projection(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        result: torch.Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return result


class CLIPMLP(nn.Module):
    """Two linear layers around the activation."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.quick = config.hidden_act == "quick_gelu"
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, S, C) -> (B, S, C)."""
        hidden = self.fc1(hidden)
        # CLIP's "quick" GELU: x * sigmoid(1.702 x) (Hendrycks and Gimpel 2016, arXiv 1606.08415).
        hidden = hidden * torch.sigmoid(1.702 * hidden) if self.quick else F.gelu(hidden)
        result: torch.Tensor = self.fc2(hidden)
        return result


class CLIPEncoderLayer(nn.Module):
    """Attention and MLP, each on a normalised residual branch."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.self_attn = CLIPAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = CLIPMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, S, C) -> (B, S, C)."""
        hidden = hidden + self.self_attn(self.layer_norm1(hidden))
        result: torch.Tensor = hidden + self.mlp(self.layer_norm2(hidden))
        return result


class CLIPLayers(nn.Module):
    """The stack of layers."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CLIPEncoderLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, S, C) -> (B, S, C)."""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class CLIPTextTransformer(nn.Module):
    """Embeddings, layers and final norm."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.embeddings = CLIPTextEmbeddings(config)
        self.encoder = CLIPLayers(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(B, S) ids -> (B, S, C)."""
        result: torch.Tensor = self.final_layer_norm(self.encoder(self.embeddings(input_ids)))
        return result


class CLIPTextEncoder(nn.Module):
    """Text states of tokenized prompts."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = CLIPTextTransformer(config)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Encodes prompts.

        Args:
            input_ids: (B, 77) integers as the tokenizer makes them, padding included (no padding mask, as in Stable
                Diffusion: attention is causal and the UNet attends to all 77 states).

        Returns:
            last_hidden_state (B, 77, C) after the final norm.
        """
        result: torch.Tensor = self.text_model(input_ids)
        return result
