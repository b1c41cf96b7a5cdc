"""Distributions over sequences of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Categorical, constraints

from lowerbound.distributions.base import Unvalidated, broadcast

Next = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]
"""From features h, (n, features), tokens (time, n) and a state, or None at the beginning, to the
logits of the token after each, (time, n, codes), and the state then; code ``codes`` is no token."""


class Autoregressive(Unvalidated):
    """p(x) = ∏ₜ p(xₜ | x₍<t₎, h), tokens x by their codes, (*batch, T), which come in segments.

    The tokens of a segment depend on those before in the same segment, and on its features h alone:
    given h, segments are independent.

    Args:
        h: (*batch, segments, features).
        next_token: see `Next`.
        length: T, a multiple of the number of segments.
        codes: how many tokens there are.
        ends: whether the last code ends a sequence: after it all are it, with probability 1.
        untold: the probability with which `log_prob` does not tell the token before.
        drawn: the probability with which `log_prob` tells one that the model draws in the place of
            the token before.  With ``untold`` or ``drawn`` above 0, `log_prob` is that of a model
            which knows less, afresh at each use: what is maximised in training.
    """

    support = constraints.nonnegative_integer

    def __init__(
        self,
        h: Tensor,
        next_token: Next,
        length: int,
        codes: int,
        *,
        ends: bool = False,
        untold: float = 0.0,
        drawn: float | Tensor = 0.0,
    ) -> None:
        self.h, self.next_token, self.codes, self.ends = h, next_token, codes, ends
        self.untold, self.drawn = untold, drawn
        super().__init__(h.shape[:-2], Size([length]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        tokens, rows, logits = self._told(value)
        log_p = -F.cross_entropy(logits.flatten(0, 1), rows.flatten(), reduction="none")
        log_p = log_p.view_as(rows).T.reshape(tokens.shape)
        if self.ends:
            ended = (tokens == self.codes - 1).cummax(-1).values[..., :-1]
            log_p = torch.cat((log_p[..., :1], log_p[..., 1:].masked_fill(ended, 0.0)), -1)
        return log_p.sum(-1)

    def token_log_probs(self, value: Tensor) -> Tensor:
        """log p(xₜ = k | x₍<t₎, h) of every code k at each place of ``value``, (*batch, T, codes).

        What follows an end is as if it were not known.
        """
        tokens, _, logits = self._told(value)
        return F.log_softmax(logits, -1).movedim(0, 1).reshape(*tokens.shape, self.codes)

    def _told(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``value`` as codes, (*batch, T); its segments, (time, n); and logits for these."""
        batch = broadcast(self.batch_shape, value.shape[:-1])
        tokens, h = value.long().expand(*batch, -1), self._rows(batch)
        rows = self._split(tokens)
        logits, _ = self.next_token(h, self._before(rows, h), None)
        return tokens, rows, logits.to(self.h.dtype)

    def _before(self, rows: Tensor, h: Tensor) -> Tensor:
        """The tokens that are told before each, (time, n)."""
        first = rows.new_full((1, rows.shape[1]), self.codes)
        if torch.is_tensor(self.drawn) or self.drawn > 0:
            rows = self._draw(h, len(rows), told=rows)
        before = torch.cat((first, rows[:-1]))
        if self.untold:
            hidden = torch.rand(before.shape, device=h.device) < self.untold
            before = before.masked_fill(hidden, self.codes)
        return before

    @torch.no_grad()
    def _draw(
        self,
        h: Tensor,
        steps: int,
        choose: Callable[[Tensor], Tensor] | None = None,
        told: Tensor | None = None,
    ) -> Tensor:
        """Tokens one after the other, (steps, n): each chosen by the logits given those before.

        Of those ``told``, each stays with probability 1 − ``drawn``.
        """
        choose = choose or _drawn
        state, last = None, torch.full((1, h.shape[0]), self.codes, device=h.device)
        found = []
        for t in range(steps):
            logits, state = self.next_token(h, last, state)
            last = choose(logits)
            if told is not None:
                last = torch.where(torch.rand_like(h[:, 0]) < self.drawn, last, told[t])
            found.append(last)
        return torch.cat(found)

    def sample(self, sample_shape: Any = Size(), temperature: float = 1.0) -> Tensor:
        """Ancestral draws; ``temperature`` divides the logits, and 1 is the distribution itself."""
        return self._chosen(Size(sample_shape), lambda logits: _drawn(logits / temperature))

    @property
    def mean(self) -> Tensor:
        """Tokens have no mean: in its place each that is likeliest given those chosen before."""
        return self._chosen(Size(), lambda logits: logits.argmax(-1))

    def _chosen(self, sample_shape: Size, choose: Callable[[Tensor], Tensor]) -> Tensor:
        batch, (length,) = sample_shape + self.batch_shape, self.event_shape
        rows = self._draw(self._rows(batch), length // self.h.shape[-2], choose)
        tokens = rows.T.reshape(*batch, length)
        if self.ends:
            tokens = torch.where(
                (tokens == self.codes - 1).cummax(-1).values, self.codes - 1, tokens
            )
        return tokens.to(self.h.dtype)

    def _rows(self, batch: Size) -> Tensor:
        """h of every segment of every sequence, (n, features)."""
        return self.h.expand(*batch, *self.h.shape[-2:]).reshape(-1, self.h.shape[-1])

    def _split(self, tokens: Tensor) -> Tensor:
        """The tokens of every segment of every sequence, (time, n)."""
        return tokens.reshape(-1, tokens.shape[-1] // self.h.shape[-2]).T


def _drawn(logits: Tensor) -> Tensor:
    return Categorical(logits=logits, validate_args=False).sample()
