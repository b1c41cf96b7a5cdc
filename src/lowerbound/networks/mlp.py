"""Multi-layer perceptron."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.activations import Activation, activated
from lowerbound.networks.apply import Context
from lowerbound.parts import NonNegative, Size, part


@part
class MLP(nn.Module):
    """Linear layers with an activation between them; the input is flattened to a vector.

    ``MLP(784, (512,), 40)`` is 784-512-40; ``hidden=()`` is one linear layer.  The context, if
    there is one, is appended to the input.

    Args:
        in_features: numbers of one input, without the context.
        hidden: widths of the layers between the first and the last; none makes it linear.
        out_features: numbers that it returns for each example.
        activation: after each layer but the last: ``"relu"``, ``"tanh"``, ``"elu"``, ``"gelu"``,
            ``"silu"``, ``"softplus"`` or ``"gated"``, which is a ⊙ sigmoid(b).
        context_dim: width of the context, 0 for none.
        skip: adds a linear layer from the input to the output, of weights that start at 0.

    >>> sum(p.numel() for p in MLP(784, (512,), 40).parameters())
    422440
    """

    def __init__(
        self,
        in_features: Size,
        hidden: tuple[Size, ...],
        out_features: Size,
        activation: Activation = "relu",
        context_dim: NonNegative = 0,
        *,
        skip: bool = False,
    ) -> None:
        super().__init__()
        sizes = (in_features + context_dim, *hidden)
        self.skip = nn.Linear(sizes[0], out_features, bias=False) if skip else None
        if self.skip is not None:
            nn.init.zeros_(self.skip.weight)
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += activated(nn.Linear, n_in, n_out, activation)
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], out_features))

    def forward(
        self, x: Float[Tensor, "batch ..."], context: Context = None
    ) -> Float[Tensor, "batch out"]:
        x = x.flatten(1) if context is None else torch.cat((x.flatten(1), context), -1)
        return self.layers(x) if self.skip is None else self.layers(x) + self.skip(x)
