"""Activations by name."""

from collections.abc import Callable
from typing import Literal

from torch import nn

Activation = Literal["relu", "tanh", "elu", "gelu", "silu", "softplus", "gated"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}


def activated(
    layer: Callable[[int, int], nn.Module], n_in: int, n_out: int, activation: Activation
) -> list[nn.Module]:
    """``layer`` from n_in to n_out features, and its activation after it.

    ``"gated"`` is a ⊙ sigmoid(b), from a layer of twice as many features (a, b).

    Source: Dauphin et al., Language modeling with gated convolutional networks, 2016, arXiv
    1612.08083.
    """
    if activation == "gated":
        return [layer(n_in, 2 * n_out), nn.GLU(dim=1)]
    return [layer(n_in, n_out), ACTIVATIONS[activation]()]
