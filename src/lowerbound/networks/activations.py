"""Activations by name."""

from collections.abc import Callable
from typing import Literal

from torch import nn

from lowerbound.errors import ConfigurationError

Activation = Literal["relu", "tanh", "elu", "gelu", "silu", "softplus", "gated"]
Normalisation = Literal["none", "layer"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}


def activated(
    layer: Callable[[int, int], nn.Module],
    n_in: int,
    n_out: int,
    activation: Activation,
    normalisation: Normalisation = "none",
) -> list[nn.Module]:
    """``layer`` from n_in to n_out features, their normalisation, if any, and their activation.

    ``"gated"`` is a ⊙ sigmoid(b), from a layer of twice as many features (a, b).  ``"layer"``
    brings all features of an example, of maps those of all places, to mean 0 and variance 1, and
    then gives each feature a scale and a shift.

    Source: Dauphin et al., Language modeling with gated convolutional networks, 2016, arXiv
    1612.08083; Ba, Kiros & Hinton, Layer normalization, 2016, arXiv 1607.06450.

    Raises:
        ConfigurationError: a single feature to normalise, which might become 0 whatever it is.
    """
    gated = activation == "gated"
    width = 2 * n_out if gated else n_out
    if normalisation == "layer" and width == 1:
        raise ConfigurationError(
            "expected two maps or more to normalise, got one; use more channels, or "
            "normalisation=none"
        )
    norm = [nn.GroupNorm(1, width)] if normalisation == "layer" else []
    return [layer(n_in, width), *norm, nn.GLU(dim=1) if gated else ACTIVATIONS[activation]()]
