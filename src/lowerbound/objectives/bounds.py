"""Bounds on log p(x), and what autoencoders maximise instead."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.corruptions import Corruption
from lowerbound.distributions import draw, has_density
from lowerbound.divergences import Kernel, kl_terms, marginals, mmd
from lowerbound.errors import ConfigurationError
from lowerbound.parts import Size, part
from lowerbound.schedules import LARGEST, Schedule, value_at
from lowerbound.vae import VAE, Draws


@dataclass(frozen=True)
class Terms:
    """What an objective is made of, (batch,) each, in nats.

    Attributes:
        objective: what training maximises.
        reconstruction: −log p(x|z), averaged over z ~ q(z|x).
        bound: a lower bound on log p(x) with no weights in it, to report and to select by; None
            where there is none, as for an autoencoder.
        kl: KL(q(z|x) ‖ p(z)), or an estimate of it from the drawn z; None where it is not taken.
        others: what else there is, by name.
    """

    objective: Tensor
    reconstruction: Tensor
    bound: Tensor | None = None
    kl: Tensor | None = None
    others: Mapping[str, Tensor] = field(default_factory=dict)

    def named(self) -> dict[str, Tensor]:
        """All that there are, by name, as records keep them."""
        ours = {"bound": self.bound, "reconstruction": self.reconstruction, "kl": self.kl}
        known = {name: term for name, term in ours.items() if term is not None}
        return {"objective": self.objective, **known, **self.others}

    def __getitem__(self, name: str) -> Tensor:
        return self.named()[name]


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

    The KL is exact where a closed form is known, and taken at the drawn z elsewhere.  With several
    processes, batch means are those of each one's share of the batch.

    Args:
        beta: the weight of the KL, at least 0, or its schedule.
        free_bits: nats of the KL that cost nothing, at least 0: KL becomes max(free_bits, KL).
        samples: draws z ~ q(z|x) for each example.
        corruption: of the x that the encoder sees, afresh at each use, while the model is in
            training mode.  Any q gives a lower bound, so q(z|x̃) does; it keeps the encoder from
            learning the training set by heart.
        free_bits_per: what the free nats are given to: each ``"dimension"``'s batch-mean KL, or
            each example's whole KL, the ``"total"``.

    Sources: Kingma & Welling 2013, arXiv 1312.6114; β: Higgins et al. 2017; free bits: Kingma et
    al. 2016, arXiv 1606.04934, in total: Roberts et al. 2018, arXiv 1803.05428; corruption: Im et
    al. 2015, arXiv 1511.06406.
    """

    beta: float | Schedule = 1.0
    free_bits: float = 0.0
    samples: Size = 1
    corruption: Corruption | None = None
    free_bits_per: Literal["dimension", "total"] = "dimension"

    def __post_init__(self) -> None:
        _weights(beta=self.beta, free_bits=self.free_bits)

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        d = model.draws(x, self.samples, context, seen=_seen(x, self.corruption, model))
        log_likelihood = d.log_likelihood.mean(0)
        return Terms(
            objective=log_likelihood - value_at(self.beta, time) * self._penalty(d),
            bound=log_likelihood - d.kl,
            reconstruction=-log_likelihood,
            kl=d.kl,
        )

    def _penalty(self, d: Draws) -> Tensor:
        """The KL, of which the first nats are free."""
        if not self.free_bits:
            return d.kl
        if self.free_bits_per == "total":
            return d.kl.clamp(min=self.free_bits)
        per_dimension = kl_terms(d.q, d.p)
        if per_dimension is None:
            raise ConfigurationError(
                "expected a posterior and a prior that factorise over latent dimensions, got "
                f"{type(d.q).__name__} and {type(d.p).__name__}; a KL per dimension is not defined "
                "for them"
            )
        mean = per_dimension.expand(*d.kl.shape, -1).mean(0)
        return mean.clamp(min=self.free_bits).sum().expand_as(d.kl)


@part
@dataclass(frozen=True)
class IWAE(Objective):
    """log (1/k) Σᵢ wᵢ, wᵢ = p(x, zᵢ)/q(zᵢ|x): the importance-weighted bound with k samples.

    Args:
        samples: k, the draws z ~ q(z|x) for each example.
        gradient: of the encoder: ``"standard"``, the bound's own, or ``"dreg"``, the doubly
            reparameterised one, Σᵢ w̃ᵢ² ∂log wᵢ/∂zᵢ ∂zᵢ/∂φ with normalised weights w̃, whose signal
            does not vanish as k grows.

    Sources: Burda, Grosse & Salakhutdinov 2015, arXiv 1509.00519; Tucker et al. 2018, arXiv
    1810.04152.
    """

    samples: Size = 50
    gradient: Literal["standard", "dreg"] = "standard"

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        d = model.draws(x, self.samples, context)
        dreg = self.gradient == "dreg" and d.z.requires_grad
        if dreg:
            d = d.through_z()
        bound = objective = _log_mean(d.log_w)
        if dreg:
            # w̃ scales the gradient by θ; the hook scales the one by z, and so by φ, once more.
            normalised = d.log_w.detach().softmax(0)
            d.z.register_hook(lambda gradient: normalised.unsqueeze(-1) * gradient)
            surrogate = (normalised * d.log_w).sum(0)
            objective = bound.detach() + surrogate - surrogate.detach()
        return Terms(objective, -d.log_likelihood.mean(0), bound, d.log_ratio.mean(0))


@part
@dataclass(frozen=True)
class Renyi(Objective):
    """1/(1 − α) log (1/k) Σᵢ wᵢ^(1 − α): the variational Rényi bound with k samples.

    The reported ``bound`` is α = 0's, from the same z.

    Args:
        alpha: α, at least 0, as below 0 it would be no lower bound, which falls as α grows: from
            the IWAE at 0 to the ELBO, at the drawn z, as α → 1, and further.
        samples: k, the draws z ~ q(z|x) for each example.

    Source: Li & Turner, Rényi divergence variational inference, 2016, arXiv 1602.02311.
    """

    alpha: float = 0.5
    samples: Size = 50

    def __post_init__(self) -> None:
        _weights(alpha=self.alpha)

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        d = model.draws(x, self.samples, context)
        power = 1 - self.alpha
        # In float64, as a small power leaves few digits of a difference in float32.
        objective = _log_mean(power * d.log_w.double()) / power if power else d.log_w.mean(0)
        return Terms(
            objective=objective.to(d.log_w.dtype),
            bound=_log_mean(d.log_w),
            reconstruction=-d.log_likelihood.mean(0),
            kl=d.log_ratio.mean(0),
        )


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

    which is unbiased for q(z) (its logarithm is not).  The posterior must factorise, as a diagonal
    Gaussian does.  With several processes, M counts each one's share of the batch.

    Args:
        alpha: the weight of the mutual information, at least 0, or its schedule.
        beta: the weight of the total correlation, at least 0, or its schedule.
        gamma: the weight of each dimension's divergence from its prior, at least 0, or its
            schedule.

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
        d = model.draws(x, 1, context)
        log_likelihood = d.log_likelihood[0]
        log_q, log_factors = aggregate_log_densities(d.z[0], d.q, self.examples)
        parts = {
            "mutual_information": d.log_q[0] - log_q,
            "total_correlation": log_q - log_factors,
            "dimension_kl": log_factors - d.log_p[0],
        }
        weights = (value_at(weight, time) for weight in (self.alpha, self.beta, self.gamma))
        penalty = sum(w * term for w, term in zip(weights, parts.values(), strict=True))
        return Terms(
            objective=log_likelihood - penalty,
            bound=log_likelihood - d.kl,
            reconstruction=-log_likelihood,
            kl=d.kl,
            others=parts,
        )


def aggregate_log_densities(z: Tensor, q: Distribution, examples: int) -> tuple[Tensor, Tensor]:
    """log q(zᵢ) and Σⱼ log q(zᵢⱼ), (batch,) each, estimated from the posteriors of the batch.

    zᵢ ~ q(z|xᵢ), (batch, latent).  See `TCVAE` for the weights.
    """
    each = marginals(q)
    if each is None:
        raise ConfigurationError(
            "expected a factorising posterior, such as a diagonal Gaussian posterior for TCVAE, "
            f"got {type(q).__name__}; use the ELBO objective"
        )
    m = len(z)
    others = (1 - 1 / examples) / max(m - 1, 1)
    weights = torch.full((m, m), others, dtype=z.dtype, device=z.device)
    log_weights = weights.fill_diagonal_(1 - (m - 1) * others).log()
    log_q = each.log_prob(z.unsqueeze(1))  # log q(zᵢⱼ|xₘ), (i, m, j)
    joint = (log_weights + log_q.sum(-1)).logsumexp(1)
    factors = (log_weights.unsqueeze(-1) + log_q).logsumexp(1)
    return joint, factors.sum(-1)


@part
@dataclass(frozen=True)
class InfoVAE(Objective):
    """E_q[log p(x|z)] − β KL(q(z|x) ‖ p(z)) − weight · MMD²(q(z), p(z)).

    MMD² is estimated without bias from the batch's z ~ q(z|x) and as many draws from p(z).  In the
    paper's terms β = 1 − α and ``weight`` = α + λ − 1.  β = 0 leaves MMD alone to bring q(z) to the
    prior: with a `Deterministic` posterior, the Wasserstein autoencoder, which has no KL and no
    bound on log p(x).

    Args:
        weight: of MMD², at least 0, or its schedule.
        beta: the weight of the KL, at least 0, or its schedule.
        kernel: of `mmd`: ``"imq"``, inverse multiquadratic, or ``"rbf"``, Gaussian.

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
        d = model.draws(x, 1, context)
        log_likelihood = d.log_likelihood[0]
        # One example alone says nothing of q(z).
        discrepancy = x.new_zeros(())
        if len(x) > 1:
            discrepancy = mmd(d.z[0], draw(d.p, len(x)), self.kernel)
        objective = log_likelihood - value_at(self.weight, time) * discrepancy
        others = {"mmd": discrepancy.expand(len(x))}
        if not has_density(d.q) and not self.beta:
            return Terms(objective, -log_likelihood, others=others)
        objective = objective - value_at(self.beta, time) * d.kl
        return Terms(objective, -log_likelihood, log_likelihood - d.kl, d.kl, others)


@part
@dataclass(frozen=True)
class Reconstruction(Objective):
    """log p(x|z) − penalty at z ~ q(z|x̃), with no KL: an autoencoder, with Deterministic posterior.

    Args:
        corruption: of x to x̃, afresh at each use, while the model is in training mode, which makes
            a denoising autoencoder; without it, x̃ is x.
        sparsity: the weight of ‖z‖₁, at least 0.
        contraction: the weight of ‖∂z/∂x‖², at least 0, which is estimated without bias by
            ‖∂(vᵀz)/∂x‖² with random signs v.

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
        seen = _seen(x, self.corruption, model)
        if self.contraction:
            seen = seen.detach().requires_grad_()
        with torch.set_grad_enabled(torch.is_grad_enabled() or self.contraction > 0):
            d = model.draws(x, 1, context, seen=seen)
            z, log_likelihood = d.z[0], d.log_likelihood[0]
        penalty = self.sparsity * z.abs().sum(-1)
        if self.contraction:
            penalty = penalty + self.contraction * squared_jacobian(z, seen)
        if self.sparsity or self.contraction:
            others = {"penalty": penalty}
            return Terms(log_likelihood - penalty, -log_likelihood, others=others)
        return Terms(log_likelihood, -log_likelihood)


def squared_jacobian(z: Tensor, x: Tensor) -> Tensor:
    """An unbiased estimate of ‖∂z/∂x‖² for each example, (batch,): E_v ‖∂(vᵀz)/∂x‖², vᵢ = ±1.

    Source: Hutchinson, A stochastic estimator of the trace of the influence matrix, 1989.
    """
    signs = torch.randint_like(z, 2) * 2 - 1
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad((signs * z).sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def _seen(x: Tensor, corruption: Corruption | None, model: VAE) -> Tensor:
    """What the encoder sees of x: in training mode a fresh corruption x̃, where one is wanted."""
    support = getattr(model.likelihood, "support", None)
    if corruption and (isinstance(support, tuple) or support == "tokens"):
        what = "tokens" if support == "tokens" else "rows of several kinds"
        raise ConfigurationError(
            f"expected numbers of one kind for a corruption, got {type(corruption).__name__} for "
            f"{what}, which it would add to as if they were such; leave it out"
        )
    return corruption(x) if corruption and model.training else x


def _log_mean(log_values: Tensor) -> Tensor:
    """log of the mean of values over the first dimension, from their logarithms."""
    return log_values.logsumexp(0) - math.log(len(log_values))


def _weights(**weights: float | Schedule) -> None:
    for name, weight in weights.items():
        if not isinstance(weight, Schedule) and not 0 <= weight <= LARGEST:
            raise ConfigurationError(
                f"expected a weight {name} from 0 to {LARGEST:.1e}, got {weight}"
            )
