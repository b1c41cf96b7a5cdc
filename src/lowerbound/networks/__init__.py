"""Networks: tensors in, tensors out.  Any ``nn.Module`` can stand where one of these does.

A network is called with a batch x, (batch, *shape), and, only in a conditional model, with the
context features (batch, context_dim) as a second argument.
"""

from lowerbound.networks.activations import ACTIVATIONS, Activation
from lowerbound.networks.apply import apply
from lowerbound.networks.convolutional import Convolutional, Deconvolutional
from lowerbound.networks.heads import GaussianHeads
from lowerbound.networks.log_counts import LogCounts
from lowerbound.networks.mlp import MLP

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Activation",
    "Convolutional",
    "Deconvolutional",
    "GaussianHeads",
    "LogCounts",
    "apply",
]
