"""Recurrent layers. x is (S, B, I): sequence, batch, input."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor
Activation = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Activation] = {
    "hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "linear": lambda x: x,
    "relu": F.relu,
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(2 / 3 * x),
    "sigmoid": torch.sigmoid,
    "sigmoid_hard": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "tanh": torch.tanh,
}


def _activation(node: Node, name: str, default: str) -> Activation:
    return _ACTIVATIONS[node.text(name, default).lower()]


def _order(node: Node, x: Tensor, direction: str) -> Tensor:
    if x.dim() != 3:
        raise ProgramError(f"x must have rank 3, not {x.dim()}")
    return x.flip(0) if direction == "reverse" else x


def _collect(states: list[Tensor], direction: str, whole: bool) -> Tensor:
    """(S, B, H) in the order of time, or (1, B, H) with the final state."""
    if not whole:
        return states[-1].unsqueeze(0)
    return torch.stack(states[::-1] if direction == "reverse" else states)


@operation("rnn", takes="x initial_h weight_ih weight_hh bias?")
def rnn(node: Node) -> Kernel:
    """h = activation(W_ih x + W_hh h + b)."""
    direction = node.text("direction", "forward", ("forward", "reverse"))
    whole = node.flag("output_sequence", False)
    activation = _activation(node, "activation", "tanh")

    def run(x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        states = []
        for step in _order(node, x, direction):
            h = activation(F.linear(step, weight_ih, bias) + F.linear(h, weight_hh))
            states.append(h)
        return _collect(states, direction, whole), h

    return run


@operation("gru", takes="x initial_h weight_ih weight_hh bias? input_bias?")
def gru(node: Node) -> Kernel:
    """Gates are ordered reset, output, update; without `reset_after` the reset gate acts before the product."""
    direction = node.text("direction", "forward", ("forward", "reverse"))
    whole, after = node.flag("output_sequence", False), node.flag("reset_after", False)
    gate, activation = _activation(node, "recurrent_activation", "sigmoid"), _activation(node, "activation", "tanh")

    def run(
        x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor | None, input_bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        states = []
        hidden_reset, hidden_new, hidden_update = weight_hh.chunk(3)
        none = torch.zeros(weight_hh.shape[0])
        bias_reset, bias_new, bias_update = (none if bias is None else bias).chunk(3)
        for step in _order(node, x, direction):
            reset, new, update = F.linear(step, weight_ih, input_bias).chunk(3, -1)
            r = gate(reset + F.linear(h, hidden_reset, bias_reset))
            z = gate(update + F.linear(h, hidden_update, bias_update))
            inner = r * F.linear(h, hidden_new, bias_new) if after else F.linear(r * h, hidden_new, bias_new)
            h = (1 - z) * activation(new + inner) + z * h
            states.append(h)
        return _collect(states, direction, whole), h

    return run


@operation(
    "lstm",
    takes="x initial_h initial_c weight_ih weight_hh bias? peephole? "
    "weight_ih_back? weight_hh_back? bias_back? peephole_back?",
)
def lstm(node: Node) -> Kernel:
    """Gates are ordered input, forget, output, cell. Bidirectional states are joined on their last axis."""
    direction = node.text("direction", "forward", ("forward", "reverse", "bidirectional"))
    whole = node.flag("output_sequence", False)
    gate = _activation(node, "recurrent_activation", "sigmoid")
    cell_activation = _activation(node, "cell_activation", "tanh")
    activation = _activation(node, "activation", "tanh")
    clip = node.number("clip") if node.has("clip") else None

    def one_way(
        way: str,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        weights: tuple[Tensor, Tensor],
        bias: Tensor | None,
        peephole: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        states = []
        peep_i, peep_f, peep_o = (torch.zeros(3 * h.shape[-1]) if peephole is None else peephole).chunk(3)
        for step in _order(node, x, way):
            i, f, o, z = (F.linear(step, weights[0], bias) + F.linear(h, weights[1])).chunk(4, -1)
            i, f = gate(i + peep_i * c), gate(f + peep_f * c)
            c = f * c + i * cell_activation(z)
            if clip is not None:
                c = c.clamp(-clip, clip)
            h = gate(o + peep_o * c) * activation(c)
            states.append(h)
        return _collect(states, way, whole), h, c

    def run(
        x: Tensor,
        h: Tensor,
        c: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor | None,
        peephole: Tensor | None,
        weight_ih_back: Tensor | None,
        weight_hh_back: Tensor | None,
        bias_back: Tensor | None,
        peephole_back: Tensor | None,
    ) -> tuple[Tensor, ...]:
        if direction != "bidirectional":
            return one_way(direction, x, h, c, (weight_ih, weight_hh), bias, peephole)
        if weight_ih_back is None or weight_hh_back is None:
            raise ProgramError("its backward weights are missing")
        (h, h_back), (c, c_back) = h.chunk(2, -1), c.chunk(2, -1)
        ahead = one_way("forward", x, h, c, (weight_ih, weight_hh), bias, peephole)
        back = one_way("reverse", x, h_back, c_back, (weight_ih_back, weight_hh_back), bias_back, peephole_back)
        return tuple(torch.cat(pair, -1) for pair in zip(ahead, back, strict=True))

    return run
