"""Dense networks of tokens, and of a sequence's parts."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.errors import ConfigurationError
from lowerbound.networks.activations import Activation
from lowerbound.networks.apply import Context
from lowerbound.networks.mlp import MLP
from lowerbound.parts import NonNegative, Size, part


@part
class EmbeddedMLP(nn.Module):
    """An `MLP` of the vectors that stand for a sequence's tokens, all of them at once.

    It costs less than a `BidirectionalLSTM`, and reads sequences of one length only.  With several
    ``parts``, another MLP reads each of them first, the same for all, so that what a part holds is
    learnt once and not at every place.

    Args:
        codes: how many tokens there are, as numbers 0 … codes − 1 of any type.
        in_features: tokens in a sequence, a multiple of ``parts``.
        out_features: numbers that it returns for each sequence.
        hidden: widths of the layers between the embeddings and the last, in each MLP.
        embedding: width of the vector that stands for a token.
        parts: of equal length, one after the other; 1 for a sequence as a whole.
        width: of the vector that stands for a part.
        activation: after each layer but the last, as in `MLP`.
        context_dim: width of the context, which is appended to what is read; 0 for none.

    Raises:
        ConfigurationError: the sequence does not come in parts of one length.
    """

    mirror = "SharedMLP"

    def __init__(
        self,
        codes: Size,
        in_features: Size,
        out_features: Size,
        hidden: tuple[Size, ...] = (1024,),
        embedding: Size = 24,
        parts: Size = 1,
        width: Size = 128,
        activation: Activation = "relu",
        context_dim: NonNegative = 0,
    ) -> None:
        super().__init__()
        self.parts = _expect_parts("tokens", in_features, parts)
        self.embedding = nn.Embedding(codes, embedding)
        read = in_features * embedding
        if parts > 1:
            self.each = MLP(read // parts, hidden, width, activation)
            read = parts * width
        self.mlp = MLP(read, hidden, out_features, activation, context_dim)

    def forward(
        self, x: Float[Tensor, "batch time"], context: Context = None
    ) -> Float[Tensor, "batch out"]:
        read = self.embedding(x.long())
        if self.parts > 1:
            n = x.shape[0]
            read = self.each(read.reshape(n * self.parts, -1)).reshape(n, -1)
        return self.mlp(read, context)


@part
class SharedMLP(nn.Module):
    """An `MLP` whose last layers are the same for all parts of what it returns.

    One MLP makes a vector for each part of z, and another the part of each vector.

    Args:
        in_features: the dimensions of z.
        out_features: numbers that it returns for each z, a multiple of ``parts``.
        hidden: widths of the layers between the first and the last, in each MLP.
        parts: of equal size, one after the other; 1 for an `MLP` alone.
        width: of the vector that stands for a part.
        activation: after each layer but the last, as in `MLP`.
        context_dim: width of the context, which is appended to z; 0 for none.

    Raises:
        ConfigurationError: what it returns does not come in parts of one size.
    """

    def __init__(
        self,
        in_features: Size,
        hidden: tuple[Size, ...],
        out_features: Size,
        parts: Size = 1,
        width: Size = 128,
        activation: Activation = "relu",
        context_dim: NonNegative = 0,
    ) -> None:
        super().__init__()
        self.parts = _expect_parts("numbers", out_features, parts)
        told = out_features if parts == 1 else parts * width
        self.mlp = MLP(in_features, hidden, told, activation, context_dim)
        if parts > 1:
            self.each = MLP(width, hidden, out_features // parts, activation)

    def forward(
        self, z: Float[Tensor, "batch ..."], context: Context = None
    ) -> Float[Tensor, "batch out"]:
        told = self.mlp(z, context)
        if self.parts == 1:
            return told
        n = z.shape[0]
        return self.each(told.reshape(n * self.parts, -1)).reshape(n, -1)


def _expect_parts(what: str, size: int, parts: int) -> int:
    if size % parts:
        raise ConfigurationError(
            f"expected a number of {what} that comes in {parts} equal parts, got {size}; choose "
            "another number of parts"
        )
    return parts
