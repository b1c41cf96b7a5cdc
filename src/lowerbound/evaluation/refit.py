"""The encoder's posterior, refitted to each example of a batch at once."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowerbound.distributions import DiagonalNormal, as_diagonal
from lowerbound.errors import ConfigurationError
from lowerbound.vae import Conditioned

STEPS = ((60, 0.1), (40, 0.02))  # with their learning rates
PAIRS = 1


def refitted(given: Conditioned, *, shared: bool = False) -> DiagonalNormal:
    """The diagonal Gaussian after 100 steps, without gradients; if ``shared``, by one noise."""
    refit = Refit(given)
    like = refit.q.mean[:1] if shared else refit.q.mean
    with torch.enable_grad():
        for steps, rate in STEPS:
            for _ in range(steps):
                refit.step(torch.randn_like(like.expand(PAIRS, -1, -1)), rate)
    return refit.posterior().detach()


class Refit:
    """A diagonal Gaussian for each x, moved by Adam from the encoder's q towards argmax L.

    It moves the mean, in units of q's σ, and log σ², along the gradient of log p(x, z) − log q(z)
    through z alone, which vanishes where q is exact.  No example's steps depend on the others'.

    Source of the gradient: Roeder, Wu & Duvenaud, Sticking the landing, 2017, arXiv 1703.09194.

    Raises:
        ConfigurationError: q is not a diagonal Gaussian.
    """

    def __init__(self, given: Conditioned) -> None:
        q = as_diagonal(given.q)
        if q is None:
            raise ConfigurationError(
                "expected a diagonal Gaussian posterior, the family in which the best q is sought, "
                f"got {type(given.q).__name__}"
            )
        self.given, self.q = given, q
        self.change = [torch.zeros_like(q.mean, requires_grad=True) for _ in range(2)]
        self.optimiser = torch.optim.Adam(self.change)

    def posterior(self) -> DiagonalNormal:
        """q as it is now."""
        shift, stretch = self.change
        return DiagonalNormal(self.q.mean + self.q.stddev * shift, self.q.log_variance + stretch)

    def step(self, noise: Tensor, learning_rate: float) -> Tensor:
        """One step by draws at ±``noise``, (draws, batch, latent); each x's ELBO before it."""
        self.optimiser.param_groups[0]["lr"] = learning_rate
        q, epsilon = self.posterior(), torch.cat((noise, -noise))
        elbo = replace(self.given, q=q.detach()).at(q.at(epsilon)).log_w.mean(0)
        gradients = torch.autograd.grad(-elbo.sum(), self.change)
        for values, gradient in zip(self.change, gradients, strict=True):
            values.grad = gradient
        self.optimiser.step()
        return elbo.detach()
