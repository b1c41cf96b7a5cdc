"""The likelihood of sequences of tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pydantic
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import distributions
from lowerbound.data.columns import D
from lowerbound.data.tokens import END, expect_vocabulary
from lowerbound.errors import ConfigurationError
from lowerbound.likelihoods.base import TAKES, Shape, Support, Takes
from lowerbound.networks import apply, set_output
from lowerbound.networks.recurrent import NextToken
from lowerbound.parts import NonNegative, Size, part

Vocabulary = Annotated[tuple[str, ...], pydantic.Field(min_length=1)]
Rate = Annotated[float, pydantic.Field(ge=0, lt=1)]


@part
class Autoregressive(nn.Module):
    """p(x|z) = ∏ₜ p(xₜ | x₍<t₎, h(z)), each factor a softmax of what an LSTM makes of both.

    With several ``segments``, h has a part for each, and the tokens of a segment depend on those
    before in the same segment and on its part: z alone links segments, so that it must hold what
    they share.  In training mode, ``word_dropout`` and ``scheduled_sampling`` change what the LSTM
    is told, and log p(x|z) with it; in evaluation mode, they do nothing.

    Args:
        network: from z, (batch, latent), to h, segments × features numbers.
        shape: of one x: (T,), T a multiple of ``segments``.
        vocabulary: the names of the tokens; where the last is "<end>", sequences may be shorter.
        features: the width of h for each segment.
        segments: of equal length, one after the other.
        hidden: width of the LSTM.
        layers: of the LSTM, one above the other.
        embedding: width of the vector that stands for a token.
        word_dropout: the probability with which the token before is not told, in training.
        scheduled_sampling: k, in steps: at step i of training, a token of the model's own is told
            in place of the one before with probability 1 − k/(k + e^(i/k)); 0 for never.

    Raises:
        ConfigurationError: x that is no sequence, or does not come in segments of one length.

    Sources: Bowman et al., Generating sentences from a continuous space, 2016, arXiv 1511.06349,
    also of word dropout; segments: Roberts et al., A hierarchical latent vector model for learning
    long-term structure in music, 2018, arXiv 1803.05428 (where h is appended to the token, not
    added); scheduled sampling: Bengio et al. 2015, arXiv 1506.03099.
    """

    support: ClassVar[Support] = "tokens"
    takes: ClassVar[Takes] = TAKES["tokens"]
    updates: Tensor

    def __init__(
        self,
        network: nn.Module,
        shape: Shape,
        vocabulary: Vocabulary,
        features: Size = 256,
        segments: Size = 1,
        hidden: Size = 256,
        layers: Size = 1,
        embedding: Size = 64,
        word_dropout: Rate = 0.0,
        scheduled_sampling: NonNegative = 0,
    ) -> None:
        super().__init__()
        if len(shape) != 1 or shape[0] % segments:
            raise ConfigurationError(
                f"Autoregressive: expected sequences (T,), with T a multiple of the {segments} "
                f"segments, got shape {shape}; choose another number of segments"
            )
        self.network, self.shape, self.vocabulary = network, shape, vocabulary
        self.features, self.segments = features, segments
        self.word_dropout, self.scheduled_sampling = word_dropout, scheduled_sampling
        self.next_token = NextToken(len(vocabulary), features, hidden, layers, embedding)
        if scheduled_sampling:
            self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def outputs(self) -> int:
        """The numbers that ``network`` returns for one code."""
        return self.segments * self.features

    @property
    def numbers(self) -> int:
        """How many are decoded for each token: a logit of each of the vocabulary."""
        return len(self.vocabulary)

    def by_name(self, data: D) -> D:
        """``data``, their tokens numbered as the vocabulary numbers them, by their names.

        Raises:
            DataError: a token that is not in the vocabulary, or sequences that are too long.
        """
        return expect_vocabulary(data, self.vocabulary, self.shape[0])

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n time"]) -> None:
        """Start with the tokens about as frequent as in prepared examples ``x``."""
        times = torch.bincount(x.long().flatten(), minlength=self.numbers).double()
        set_output(self.next_token, (times + 1 / self.numbers).log())

    def track(self, p: Distribution, x: Tensor) -> None:
        """Count a step of training, in which log p(``x``|z) was taken of ``p``."""
        if self.scheduled_sampling:
            self.updates += 1

    def forward(
        self,
        z: Float[Tensor, "*batch latent"],
        context: Float[Tensor, "... features"] | None = None,
    ) -> distributions.Autoregressive:
        """p(x|z,c) of z and ``context`` c, batch shape that of z, event shape (T,)."""
        h = apply(self.network, z, context, (self.segments, self.features), z.ndim - 1)
        return distributions.Autoregressive(
            h,
            self.next_token,
            self.shape[0],
            self.numbers,
            ends=self.vocabulary[-1] == END,
            untold=self.word_dropout if self.training else 0.0,
            drawn=self._drawn() if self.training and self.scheduled_sampling else 0.0,
        )

    def _drawn(self) -> Tensor:
        """1 − k/(k + e^(i/k)), i the steps so far."""
        k = self.scheduled_sampling
        return torch.sigmoid(self.updates / k - torch.log(self.updates.new_tensor(k)))
