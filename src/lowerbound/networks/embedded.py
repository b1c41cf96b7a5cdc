"""A multi-layer perceptron of tokens."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.activations import Activation
from lowerbound.networks.mlp import MLP
from lowerbound.parts import NonNegative, Size, part


@part
class EmbeddedMLP(nn.Module):
    """An `MLP` of the vectors that stand for a sequence's tokens, all of them at once.

    It costs less than a `BidirectionalLSTM`, and reads sequences of one length only.

    Args:
        codes: how many tokens there are, as numbers 0 … codes − 1 of any type.
        in_features: tokens in a sequence.
        out_features: numbers that it returns for each sequence.
        hidden: widths of the layers between the embeddings and the last.
        embedding: width of the vector that stands for a token.
        activation: after each layer but the last, as in `MLP`.
        context_dim: width of the context, which is appended to the embeddings; 0 for none.
    """

    mirror = "MLP"

    def __init__(
        self,
        codes: Size,
        in_features: Size,
        out_features: Size,
        hidden: tuple[Size, ...] = (1024,),
        embedding: Size = 24,
        activation: Activation = "relu",
        context_dim: NonNegative = 0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, embedding)
        self.mlp = MLP(in_features * embedding, hidden, out_features, activation, context_dim)

    def forward(
        self,
        x: Float[Tensor, "batch time"],
        context: Float[Tensor, "batch features"] | None = None,
    ) -> Float[Tensor, "batch out"]:
        return self.mlp(self.embedding(x.long()), context)
