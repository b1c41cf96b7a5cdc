"""Recurrent networks: of all tokens, of a sequence's segments, of a token given those before.

Tokens are codes 0 … codes − 1 of a vocabulary, as numbers of any type.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from lowerbound.networks.apply import Context
from lowerbound.parts import NonNegative, Size, part

State = tuple[Tensor, Tensor]
"""What an LSTM remembers, h and c, (layers, batch, hidden) each."""


def initial_state(layer: nn.Linear, features: Tensor, layers: int) -> State:
    """tanh of ``layer`` of features (batch, …), as the state in which an LSTM begins."""
    states = layer(features).tanh().unflatten(-1, (2, layers, -1)).movedim(0, 2)
    return states[0].contiguous(), states[1].contiguous()


class LSTM(nn.LSTM):
    """torch's, always in training mode, without which cuDNN takes no gradient; it has no dropout.

    So codes can be fitted with the weights as they are, on a GPU too.
    """

    def train(self, mode: bool = True) -> LSTM:  # noqa: FBT001, FBT002
        return super().train()


@part
class BidirectionalLSTM(nn.Module):
    """A linear layer on what an LSTM remembers at both ends of a sequence, reading it both ways.

    Args:
        codes: how many tokens there are.
        out_features: numbers that it returns for each sequence.
        hidden: width of the LSTM in each direction.
        layers: of the LSTM, one above the other.
        embedding: width of the vector that stands for a token.
        ends: whether the last code ends a sequence.  It is read, and nothing after it is.
        context_dim: width of the context, which the linear layer is given too; 0 for none.

    Source: Roberts et al., A hierarchical latent vector model for learning long-term structure in
    music, 2018, arXiv 1803.05428 (whose tokens are one-hot).
    """

    mirror = "Conductor"

    def __init__(
        self,
        codes: Size,
        out_features: Size,
        hidden: Size = 256,
        layers: Size = 1,
        embedding: Size = 64,
        *,
        ends: bool = False,
        context_dim: NonNegative = 0,
    ) -> None:
        super().__init__()
        self.codes, self.ends = codes, ends
        self.embedding = nn.Embedding(codes, embedding)
        self.lstm = LSTM(embedding, hidden, layers, bidirectional=True)
        self.output = nn.Linear(2 * hidden + context_dim, out_features)

    def forward(
        self, x: Float[Tensor, "batch time"], context: Context = None
    ) -> Float[Tensor, "batch out"]:
        tokens = x.long().T
        read = self.embedding(tokens)
        if self.ends:
            going_on = (tokens != self.codes - 1).long().cumprod(0)
            lengths = (1 + going_on.sum(0)).clamp(max=len(tokens))
            read = pack_padded_sequence(read, lengths.cpu(), enforce_sorted=False)
        _, (h, _) = self.lstm(read)
        last = torch.cat((h[-2], h[-1]), -1)
        return self.output(last if context is None else torch.cat((last, context), -1))


@part
class Conductor(nn.Module):
    """An LSTM without inputs that begins in a state made from z, and a linear layer at each step.

    Args:
        in_features: the dimensions of z.
        out_features: numbers that it returns for each z: as many at each step.
        steps: how often it goes on: the segments of a sequence.
        hidden: width of the LSTM.
        layers: of the LSTM, one above the other.
        context_dim: width of the context, which is appended to z; 0 for none.

    Source: Roberts et al., A hierarchical latent vector model for learning long-term structure in
    music, 2018, arXiv 1803.05428.
    """

    mirror = "BidirectionalLSTM"

    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        steps: Size,
        hidden: Size = 256,
        layers: Size = 1,
        context_dim: NonNegative = 0,
    ) -> None:
        super().__init__()
        self.steps, self.layers = steps, layers
        self.begin = nn.Linear(in_features + context_dim, 2 * layers * hidden)
        self.lstm = LSTM(1, hidden, layers)
        self.output = nn.Linear(hidden, out_features // steps)

    def forward(
        self, z: Float[Tensor, "batch latent"], context: Context = None
    ) -> Float[Tensor, "batch steps out"]:
        z = z if context is None else torch.cat((z, context), -1)
        nothing = z.new_ones(self.steps, z.shape[0], 1)
        h, _ = self.lstm(nothing, initial_state(self.begin, z, self.layers))
        return self.output(h).movedim(0, 1)


class NextToken(nn.Module):
    """Logits of the next token, by an LSTM that has read those before and knows features h.

    It begins in a state made from h, and at each step reads the embedding of the token before, to
    which a linear map of h is added.

    Args:
        codes: how many tokens there are.
        features: the width of h.
        hidden: width of the LSTM.
        layers: of the LSTM, one above the other.
        embedding: width of the vector that stands for a token.
    """

    def __init__(self, codes: int, features: int, hidden: int, layers: int, embedding: int) -> None:
        super().__init__()
        self.codes, self.layers = codes, layers
        self.embedding = nn.Embedding(codes + 1, embedding)
        self.given = nn.Linear(features, embedding)
        self.begin = nn.Linear(features, 2 * layers * hidden)
        self.lstm = LSTM(embedding, hidden, layers)
        self.output = nn.Linear(hidden, codes)

    def forward(
        self,
        h: Float[Tensor, "batch features"],
        before: Int[Tensor, "time batch"],
        state: State | None = None,
    ) -> tuple[Float[Tensor, "time batch codes"], State]:
        """Logits after each token of ``before``, and the state at the end; it begins in ``state``.

        The code ``codes`` stands for no token: before the first, or one that is not told.
        """
        read = self.embedding(before) + self.given(h)
        state = initial_state(self.begin, h, self.layers) if state is None else state
        output, state = self.lstm(read, state)
        return self.output(output), state
