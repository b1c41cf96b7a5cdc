"""Objectives: per-example terms in nats, to be maximised.

An objective is called with a model, prepared x (and context), and the time in epochs.  It returns
tensors of shape (batch,):

    objective       what training maximises
    bound           the number to report and to select by: a lower bound, with no weights in it
    reconstruction  −log p(x|z), averaged over z ~ q(z|x)
    kl              KL(q(z|x) ‖ p(z)), or an estimate of it from the drawn z
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lowerbound.corruptions import Corruption
from lowerbound.distributions import kl_terms
from lowerbound.divergences import kl
from lowerbound.errors import ConfigurationError
from lowerbound.parts import part
from lowerbound.schedules import Schedule
from lowerbound.vae import VAE

Terms = dict[str, Tensor]


class Objective(ABC):
    """What `fit` maximises."""

    @abstractmethod
    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        """The terms for each example, at ``time`` epochs into training."""


@part
@dataclass(frozen=True)
class ELBO(Objective):
    """E_q[log p(x|z)] − β KL(q(z|x) ‖ p(z)).

    ``beta`` is a number or a schedule of time.  ``free_bits`` (in nats, per latent dimension)
    replaces each dimension's batch-mean KL by max(free_bits, KL), so that the first nats are free.
    The KL is exact where a closed form is known, and taken at the drawn z elsewhere.  With several
    processes, free bits are counted in each one's share of the batch.

    With ``corruption`` the encoder sees a fresh corruption x̃ of x while the model is in training
    mode.  Any q gives a lower bound, so q(z|x̃) does; it keeps the encoder from learning the
    training set by heart.

    Sources: Kingma & Welling 2013, arXiv 1312.6114; β: Higgins et al. 2017; free bits: Kingma et
    al. 2016, arXiv 1606.04934; corruption: Im et al. 2015, arXiv 1511.06406.
    """

    beta: float | Schedule = 1.0
    free_bits: float = 0.0
    samples: int = 1
    corruption: Corruption | None = None

    def __post_init__(self) -> None:
        _at_least_one(self.samples)
        if not 0 <= self.free_bits < math.inf:
            raise ConfigurationError(f"expected free_bits ≥ 0 nats, got {self.free_bits}")
        if not isinstance(self.beta, Schedule) and not 0 <= self.beta < math.inf:
            raise ConfigurationError(f"expected a weight beta ≥ 0, got {self.beta}")

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        seen = self.corruption(x) if self.corruption and model.training else x
        q, p = model.posterior(seen, context), model.prior(context)
        z = q.rsample((self.samples,))
        log_likelihood = model.likelihood(z, context).log_prob(x).mean(0)
        divergence = kl(q, p, z)
        penalty = divergence
        if self.free_bits:
            per_dimension = kl_terms(q, p).expand(*x.shape[:1], -1)
            penalty = per_dimension.mean(0).clamp(min=self.free_bits).sum().expand_as(divergence)
        beta = self.beta(time) if isinstance(self.beta, Schedule) else self.beta
        return {
            "objective": log_likelihood - beta * penalty,
            "bound": log_likelihood - divergence,
            "reconstruction": -log_likelihood,
            "kl": divergence,
        }


@part
@dataclass(frozen=True)
class IWAE(Objective):
    """log (1/k) Σᵢ wᵢ, wᵢ = p(x, zᵢ)/q(zᵢ|x): the importance-weighted bound with k samples.

    ``gradient="dreg"`` is the doubly-reparameterised estimator: the encoder's gradient is
    Σᵢ w̃ᵢ² ∂log wᵢ/∂zᵢ ∂zᵢ/∂φ with normalised weights w̃, whose signal does not vanish as k grows.

    Sources: Burda, Grosse & Salakhutdinov 2015, arXiv 1509.00519; Tucker et al. 2018, arXiv
    1810.04152.
    """

    samples: int = 50
    gradient: Literal["standard", "dreg"] = "standard"

    def __post_init__(self) -> None:
        _at_least_one(self.samples)

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        q = model.posterior(x, context)
        z = q.rsample((self.samples,))
        dreg = self.gradient == "dreg" and z.requires_grad
        if dreg and not hasattr(q, "detach"):
            raise ConfigurationError(
                f"expected a posterior whose distribution has detach(), which the dreg gradient "
                f"needs, got {type(q).__name__}; use gradient='standard'"
            )
        log_likelihood = model.likelihood(z, context).log_prob(x)
        log_ratio = (q.detach() if dreg else q).log_prob(z) - model.prior(context).log_prob(z)
        log_w = log_likelihood - log_ratio
        bound = log_w.logsumexp(0) - math.log(self.samples)
        objective = bound
        if dreg:
            # w̃ scales the gradient by θ; the hook scales the one by z, and so by φ, once more.
            normalised = log_w.detach().softmax(0)
            z.register_hook(lambda gradient: normalised.unsqueeze(-1) * gradient)
            surrogate = (normalised * log_w).sum(0)
            objective = bound.detach() + surrogate - surrogate.detach()
        return {
            "objective": objective,
            "bound": bound,
            "reconstruction": -log_likelihood.mean(0),
            "kl": log_ratio.mean(0),
        }


@part
@dataclass(frozen=True)
class Reconstruction(Objective):
    """log p(x|z) − penalty at z ~ q(z|x̃), with no KL: an autoencoder, with Deterministic posterior.

    x̃ is x, or with ``corruption`` a fresh corruption of it while the model is in training mode,
    which makes a denoising autoencoder.  ``sparsity`` weighs ‖z‖₁ and ``contraction`` weighs
    ‖∂z/∂x‖², estimated without bias by ‖∂(vᵀz)/∂x‖² with random signs v.

    Sources: denoising: Vincent et al. 2008; contractive: Rifai et al. 2011.
    """

    corruption: Corruption | None = None
    sparsity: float = 0.0
    contraction: float = 0.0

    def __post_init__(self) -> None:
        for name in ("sparsity", "contraction"):
            if getattr(self, name) < 0:
                raise ConfigurationError(
                    f"Reconstruction: expected {name} ≥ 0, got {getattr(self, name)}"
                )

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        seen = self.corruption(x) if self.corruption and model.training else x
        if self.contraction:
            seen = seen.detach().requires_grad_()
        with torch.set_grad_enabled(torch.is_grad_enabled() or self.contraction > 0):
            z = model.posterior(seen, context).rsample()
        log_likelihood = model.likelihood(z, context).log_prob(x)
        terms = {
            "objective": log_likelihood,
            "bound": log_likelihood,
            "reconstruction": -log_likelihood,
        }
        penalty = self.sparsity * z.abs().sum(-1)
        if self.contraction:
            penalty = penalty + self.contraction * squared_jacobian(z, seen)
        if self.sparsity or self.contraction:
            terms |= {"objective": log_likelihood - penalty, "penalty": penalty}
        return terms


def squared_jacobian(z: Tensor, x: Tensor) -> Tensor:
    """An unbiased estimate of ‖∂z/∂x‖² for each example, (batch,): E_v ‖∂(vᵀz)/∂x‖², vᵢ = ±1.

    Source: Hutchinson, A stochastic estimator of the trace of the influence matrix, 1989.
    """
    signs = torch.randint_like(z, 2) * 2 - 1
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad((signs * z).sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def _at_least_one(samples: int) -> None:
    if samples < 1:
        raise ConfigurationError(f"expected at least one sample, got {samples}")
