"""Activations by name."""

from typing import Literal

from torch import nn

Activation = Literal["relu", "tanh", "elu", "gelu", "silu", "softplus"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}
