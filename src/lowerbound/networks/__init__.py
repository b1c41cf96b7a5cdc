"""Networks: tensors in, tensors out.  Any ``nn.Module`` can stand where one of these does.

A network is called with a batch x, (batch, *shape), and, only in a conditional model, with the
context features (batch, context_dim) as a second argument.
"""

from lowerbound.networks.apply import apply
from lowerbound.networks.convolutional import Convolutional, Deconvolutional
from lowerbound.networks.embedded import EmbeddedMLP, SharedMLP
from lowerbound.networks.flows import Univariate, autoregressive_flow
from lowerbound.networks.heads import FieldInputs, GaussianHeads, Given, Leading
from lowerbound.networks.log_counts import LogCounts
from lowerbound.networks.mlp import MLP
from lowerbound.networks.output import output_layer, set_output
from lowerbound.networks.recurrent import BidirectionalLSTM, Conductor, NextToken

__all__ = [
    "MLP",
    "BidirectionalLSTM",
    "Conductor",
    "Convolutional",
    "Deconvolutional",
    "EmbeddedMLP",
    "FieldInputs",
    "GaussianHeads",
    "Given",
    "Leading",
    "LogCounts",
    "NextToken",
    "SharedMLP",
    "Univariate",
    "apply",
    "autoregressive_flow",
    "output_layer",
    "set_output",
]
