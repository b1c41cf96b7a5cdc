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
from lowerbound.distributions import LOG_2PI, Delta, DiagonalNormal, kl_terms
from lowerbound.divergences import Kernel, kl, mmd
from lowerbound.errors import ConfigurationError
from lowerbound.parts import Size, part
from lowerbound.schedules import Schedule
from lowerbound.vae import VAE, draw

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

    ``beta`` is a number or a schedule of time.  ``free_bits`` (in nats) makes the first nats free:
    it replaces each latent dimension's batch-mean KL by max(free_bits, KL), or with
    ``free_bits_per="total"`` each example's whole KL.  The KL is exact where a closed form is
    known, and taken at the drawn z elsewhere.  With several processes, batch means are those of
    each one's share of the batch.

    With ``corruption`` the encoder sees a fresh corruption x̃ of x while the model is in training
    mode.  Any q gives a lower bound, so q(z|x̃) does; it keeps the encoder from learning the
    training set by heart.

    Sources: Kingma & Welling 2013, arXiv 1312.6114; β: Higgins et al. 2017; free bits: Kingma et
    al. 2016, arXiv 1606.04934, in total: Roberts et al. 2018, arXiv 1803.05428; corruption: Im et
    al. 2015, arXiv 1511.06406.
    """

    beta: float | Schedule = 1.0
    free_bits: float = 0.0
    free_bits_per: Literal["dimension", "total"] = "dimension"
    samples: int = 1
    corruption: Corruption | None = None

    def __post_init__(self) -> None:
        _at_least_one(self.samples)
        if not 0 <= self.free_bits < math.inf:
            raise ConfigurationError(f"expected free_bits ≥ 0 nats, got {self.free_bits}")
        _weights(beta=self.beta)

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        seen = self.corruption(x) if self.corruption and model.training else x
        q, p = model.posterior(seen, context), model.prior(context)
        z = q.rsample((self.samples,))
        log_likelihood = model.likelihood(z, context).log_prob(x).mean(0)
        divergence = kl(q, p, z)
        penalty = divergence
        if self.free_bits and self.free_bits_per == "total":
            penalty = divergence.clamp(min=self.free_bits)
        elif self.free_bits:
            per_dimension = kl_terms(q, p).expand(*x.shape[:1], -1)
            penalty = per_dimension.mean(0).clamp(min=self.free_bits).sum().expand_as(divergence)
        return {
            "objective": log_likelihood - _at(self.beta, time) * penalty,
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
        bound = _log_mean(log_w)
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
class Renyi(Objective):
    """1/(1 − α) log (1/k) Σᵢ wᵢ^(1 − α): the variational Rényi bound with k samples.

    It falls as ``alpha`` grows, from the IWAE at α = 0 to the ELBO, at the drawn z, as α → 1, and
    further; α < 0 would be no lower bound.  The reported ``bound`` is α = 0's, from the same z.

    Source: Li & Turner, Rényi divergence variational inference, 2016, arXiv 1602.02311.
    """

    alpha: float = 0.5
    samples: int = 50

    def __post_init__(self) -> None:
        _at_least_one(self.samples)
        _weights(alpha=self.alpha)

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        q, p = model.posterior(x, context), model.prior(context)
        z = q.rsample((self.samples,))
        log_likelihood = model.likelihood(z, context).log_prob(x)
        log_ratio = q.log_prob(z) - p.log_prob(z)
        log_w, power = log_likelihood - log_ratio, 1 - self.alpha
        # In float64, as a small power leaves few digits of a difference in float32.
        objective = _log_mean(power * log_w.double()) / power if power else log_w.mean(0)
        return {
            "objective": objective.to(log_w.dtype),
            "bound": _log_mean(log_w),
            "reconstruction": -log_likelihood.mean(0),
            "kl": log_ratio.mean(0),
        }


@part
@dataclass(frozen=True)
class TCVAE(Objective):
    """E_q[log p(x|z)] − α I_q(x; z) − β TC(z) − γ Σⱼ KL(q(zⱼ) ‖ p(zⱼ)): the KL in three parts.

    With q(z) the mean of q(z|x) over the N = ``examples`` of the training set,

        KL(q(z|x) ‖ p(z)) = log q(z|x)/q(z) + log q(z)/∏ⱼ q(zⱼ) + log ∏ⱼ q(zⱼ)/p(z)

    in the mean over x and z ~ q(z|x): the mutual information of x and z, the total correlation of
    z's dimensions, and each dimension's divergence from its prior.  All are taken at one z for each
    example, and sum to the KL at that z, with q(z) estimated from a batch of M by

        q(zᵢ) ≈ 1/N q(zᵢ|xᵢ) + (1 − 1/N) 1/(M − 1) Σ_{m≠i} q(zᵢ|xₘ)

    which is unbiased for q(z) (its logarithm is not).  The posterior must be a diagonal Gaussian.
    With several processes, M counts each one's share of the batch.

    Source: Chen, Li, Grosse & Duvenaud, Isolating sources of disentanglement in VAEs, 2018, arXiv
    1802.04942; the estimate is its stratified one, with equal weights on the other examples.
    """

    examples: Size
    alpha: float | Schedule = 1.0
    beta: float | Schedule = 6.0
    gamma: float | Schedule = 1.0

    def __post_init__(self) -> None:
        _weights(alpha=self.alpha, beta=self.beta, gamma=self.gamma)

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        q, p = model.posterior(x, context), model.prior(context)
        if not isinstance(q, DiagonalNormal):
            raise ConfigurationError(
                f"expected a diagonal Gaussian posterior for TCVAE, got {type(q).__name__}; "
                "use the ELBO objective"
            )
        z = q.rsample()
        log_likelihood = model.likelihood(z, context).log_prob(x)
        log_q, log_factors = aggregate_log_densities(z, q, self.examples)
        parts = {
            "mutual_information": q.log_prob(z) - log_q,
            "total_correlation": log_q - log_factors,
            "dimension_kl": log_factors - p.log_prob(z),
        }
        weights = (_at(weight, time) for weight in (self.alpha, self.beta, self.gamma))
        penalty = sum(w * term for w, term in zip(weights, parts.values(), strict=True))
        divergence = kl(q, p, z.unsqueeze(0))
        return {
            "objective": log_likelihood - penalty,
            "bound": log_likelihood - divergence,
            "reconstruction": -log_likelihood,
            "kl": divergence,
            **parts,
        }


def aggregate_log_densities(z: Tensor, q: DiagonalNormal, examples: int) -> tuple[Tensor, Tensor]:
    """log q(zᵢ) and Σⱼ log q(zᵢⱼ), (batch,) each, estimated from the posteriors of the batch.

    zᵢ ~ q(z|xᵢ), (batch, latent).  See `TCVAE` for the weights.
    """
    m = len(z)
    others = (1 - 1 / examples) / max(m - 1, 1)
    weights = torch.full((m, m), others, dtype=z.dtype, device=z.device)
    log_weights = weights.fill_diagonal_(1 - (m - 1) * others).log()
    # log q(zᵢⱼ|xₘ), (i, m, j)
    squared = (z.unsqueeze(1) - q.mean) ** 2 * (-q.log_variance).exp()
    log_q = -0.5 * (squared + q.log_variance + LOG_2PI)
    joint = (log_weights + log_q.sum(-1)).logsumexp(1)
    factors = (log_weights.unsqueeze(-1) + log_q).logsumexp(1)
    return joint, factors.sum(-1)


@part
@dataclass(frozen=True)
class InfoVAE(Objective):
    """E_q[log p(x|z)] − β KL(q(z|x) ‖ p(z)) − weight · MMD²(q(z), p(z)).

    MMD² is estimated without bias from the batch's z ~ q(z|x) and as many draws from p(z).  In the
    paper's terms β = 1 − α and ``weight`` = α + λ − 1.  β = 0 leaves MMD alone to bring q(z) to the
    prior: with a `Deterministic` posterior, the Wasserstein autoencoder.  That has no bound on
    log p(x); as with `Reconstruction`, log p(x|z) stands in its place.  ``kernel`` is `mmd`'s.

    Sources: Zhao, Song & Ermon, InfoVAE, 2017, arXiv 1706.02262; Tolstikhin et al., Wasserstein
    auto-encoders, 2017, arXiv 1711.01558.
    """

    weight: float | Schedule = 100.0
    beta: float | Schedule = 0.0
    kernel: Kernel = "imq"

    def __post_init__(self) -> None:
        _weights(weight=self.weight, beta=self.beta)

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        q, p = model.posterior(x, context), model.prior(context)
        z = q.rsample()
        log_likelihood = model.likelihood(z, context).log_prob(x)
        # One example alone says nothing of q(z).
        discrepancy = mmd(z, draw(p, len(x)), self.kernel) if len(x) > 1 else z.new_zeros(())
        objective = log_likelihood - _at(self.weight, time) * discrepancy
        terms = {"bound": log_likelihood, "reconstruction": -log_likelihood}
        if not isinstance(q, Delta) or self.beta:
            divergence = kl(q, p, z.unsqueeze(0))
            objective = objective - _at(self.beta, time) * divergence
            terms |= {"bound": log_likelihood - divergence, "kl": divergence}
        return {"objective": objective, **terms, "mmd": discrepancy.expand(len(x))}


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
        _weights(sparsity=self.sparsity, contraction=self.contraction)

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


def _log_mean(log_values: Tensor) -> Tensor:
    """log of the mean of values over the first dimension, from their logarithms."""
    return log_values.logsumexp(0) - math.log(len(log_values))


def _at(weight: float | Schedule, time: float) -> float:
    return weight(time) if isinstance(weight, Schedule) else weight


def _weights(**weights: float | Schedule) -> None:
    for name, weight in weights.items():
        if not isinstance(weight, Schedule) and not 0 <= weight < math.inf:
            raise ConfigurationError(f"expected a weight {name} ≥ 0, got {weight}")


def _at_least_one(samples: int) -> None:
    if samples < 1:
        raise ConfigurationError(f"expected at least one sample, got {samples}")
