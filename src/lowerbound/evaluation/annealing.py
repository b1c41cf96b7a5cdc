"""Annealed importance sampling: log p(x) by many small steps from q(z|x) to p(x, z), and back.

The path is π_β(z) ∝ q(z|x)^(1−β) p(x, z)^β, β from 0 to 1, and each of its distributions is visited
by one trajectory of Hamiltonian Monte Carlo.  It begins at q(z|x) rather than at the prior because
the weights then only have to make up for what the encoder misses: without any steps in between they
are those of the importance-weighted bound, which a start at the prior needs many steps to reach.

The weights are unbiased for p(x) only if the moves do not depend on the chains that they move.  So
the step sizes are found, for each example and each β, by chains of their own, which are thrown
away; the chains that are counted use them as they stand.

Sources: Neal, Annealed importance sampling, 1998, arXiv physics/9803008; Wu, Burda, Salakhutdinov &
Grosse, On the quantitative analysis of decoder-based generative models, 2016, arXiv 1611.04273;
bidirectional: Grosse, Ghahramani & Adams, Sandwiching the marginal likelihood using bidirectional
Monte Carlo, 2015, arXiv 1511.02543.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError, check_count
from lowerbound.evaluation.decoding import Decoding
from lowerbound.evaluation.estimates import Estimate, Figures, estimate
from lowerbound.evaluation.importance import effective_size
from lowerbound.evaluation.walk import (
    Progress,
    chunks,
    expect_finite,
    held_out,
    in_parts,
    judging,
    per_example,
)
from lowerbound.likelihoods.support import decoded_elements
from lowerbound.streams import Stream
from lowerbound.vae import VAE, Conditioned

LEAPFROGS = 2
ACCEPTANCE = 0.65
PILOTS, WARM_UP, GAIN = 2, 20, 0.2
FIRST_STEP = 0.5
SCALING_DRAWS = 100
STEEPNESS = 4.0


@dataclass(frozen=True)
class Annealed(Figures):
    """log p(x) of each example by annealed importance sampling: a lower bound in expectation.

    Chains begin at q(z|x), and may all miss modes of p(z|x) that it misses: `bracket` shows it.

    Attributes:
        steps: of β, from 0 to 1.
        chains: for each example.
        evidence: the mean over examples, nats.
        effective_samples: what the chains of an example are worth, at the median over examples.
        acceptance: the share of accepted trajectories.
        log_evidence: (n,) of each example, nats.
    """

    steps: int
    chains: int
    evidence: Estimate
    effective_samples: float
    acceptance: float
    log_evidence: Tensor = field(repr=False)

    def __str__(self) -> str:
        return "\n".join(
            (
                f"  {f'annealed, {self.steps:,} steps':<32}{self.evidence:>12.2f} nats",
                "    a lower bound; its chains may miss modes of p(z|x) that q(z|x) misses",
                f"  {'  effective chains, median':<32}{self.effective_samples:>12.1f} of "
                f"{self.chains} ({self.acceptance:.0%} of trajectories accepted)",
            )
        )


@dataclass(frozen=True)
class Bracket(Figures):
    """The mean log p(x) of x drawn from the model itself, between two bounds, nats.

    Attributes:
        examples: how many x were drawn.
        lower: annealed importance sampling, as on any x.
        upper: the same path backwards, from the z that x was drawn with.
        gap: upper − lower, example by example: no less than either's error, in expectation.
    """

    examples: int
    lower: Estimate
    upper: Estimate
    gap: Estimate

    def __str__(self) -> str:
        low, high = sorted((self.lower.value, self.upper.value))
        gap = Estimate(abs(self.gap.value), self.gap.standard_error)
        how = "apart" if self.gap.value >= 0 else "crossed, by chance"
        ends = f"{low:>12.2f} to {high:.2f} nats"
        return f"  {f'on {self.examples:,} x of the model':<32}{ends}, {gap:.2f} {how}"


def anneal(
    model: VAE,
    data: Any,
    *,
    steps: int = 500,
    chains: int = 16,
    leave_out: Collection[int] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Annealed:
    """log p(x) of ``data`` as the log-mean of the weights of ``chains`` chains of ``steps`` steps.

    log w = Σₜ (βₜ − βₜ₋₁) [log p(x, zₜ₋₁) − log q(zₜ₋₁|x)], E w = p(x), so that the log of their
    mean is a lower bound in expectation, whatever q.  Costs two gradients of the decoder for each
    step of each chain, and of two more chains that find the step sizes.

    Args:
        model: any with a continuous z and a posterior that has a density.
        data: the examples.
        steps: T, from q(z|x) to p(x, z); with 1 it is the importance-weighted bound.
        chains: for each example.
        leave_out: numbers of examples, such as `Evaluation.left_out`, that are in no figure.
        seed: of all noise; noise of the transform is that of `evaluate` with the same seed.
        progress: called with trajectories done and their number.

    Raises:
        ConfigurationError: too few steps, chains or examples, or a deterministic posterior.
    """
    data = held_out(data, leave_out=leave_out)
    _check(steps, chains)
    betas = schedule(steps)
    n = len(data) - len(leave_out)
    tally = _Tally(progress, n * (_pilots(steps) + (steps - 1) * chains))

    def measure(given: Conditioned) -> dict[str, Tensor]:
        path = _Path(model, given)
        again = given.x.dtype != next(model.parameters()).dtype
        told = _Tally(None, 0) if again else tally
        log_w, accepted = _weights(path, betas, _step_sizes(path, betas, told), chains, told)
        evidence = log_w.logsumexp(0) - math.log(chains)
        return {"evidence": evidence, "worth": effective_size(log_w), "accepted": accepted}

    found = per_example(
        *(model, data, measure),
        seed=seed,
        stream=Stream.ANNEAL,
        copies=chains,
        draws=LEAPFROGS * (steps - 1) * chains,
        leave_out=leave_out,
    )
    expect_finite(found, leave_out=leave_out)
    return Annealed(
        steps,
        chains,
        estimate(found["evidence"]),
        found["worth"].median().item(),
        found["accepted"].mean().item(),
        found["evidence"],
    )


def bracket(
    model: VAE,
    n: int = 100,
    labels: Any = None,
    *,
    steps: int = 500,
    chains: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> Bracket:
    """How far annealing is from log p(x), on ``n`` pairs z ~ p(z), x ~ p(x|z) of the model's own.

    Given x, such a z is an exact draw from p(z|x).  The path run backwards from it gives weights
    with mean 1/p(x), so that minus the log of their mean is an *upper* bound in expectation.

    Args:
        model: as in `anneal`.
        n: pairs, at least two.
        labels: class numbers or names, (n,), which a conditional model takes.
        steps: as in `anneal`.
        chains: for each x.
        seed: of the pairs and of all noise.
        progress: called with trajectories done and their number, of both directions.

    Raises:
        ConfigurationError: as `anneal`.
    """
    n = check_count("examples to anneal", n, least=2, most=10**6)
    if labels is not None and model.context is None:
        raise ConfigurationError("expected no labels, as this model is not conditional, got some")
    _check(steps, chains)
    betas = schedule(steps)
    tally = _Tally(progress, n * (_pilots(steps) + 2 * (steps - 1) * chains))
    found: list[Tensor] = []
    elements = 2 * n * LEAPFROGS * (steps - 1) * chains * decoded_elements(model.likelihood)
    decoding = Decoding(model, elements, chains)
    with judging(model, seed, Stream.BRACKET), decoding:
        features = model.features(labels, n)
        z, likelihood = model.joint(n, features)
        for x, context in in_parts(model, likelihood.sample(), features, chains):
            path = _Path(model, decoding.of(model.given(x, context), context))
            origin, z = z.tensor_split([len(x)])
            sizes = _step_sizes(path, betas, tally)
            forward, _ = _weights(path, betas, sizes, chains, tally)
            backward, _ = _weights(path, betas[::-1], sizes.flip(0), chains, tally, origin)
            found.append(torch.stack((forward.logsumexp(0), -backward.logsumexp(0))).cpu())
    lower, upper = torch.cat(found, 1)
    expect_finite({"lower": lower, "upper": upper})
    lower, upper = lower - math.log(chains), upper + math.log(chains)
    return Bracket(n, estimate(lower), estimate(upper), estimate(upper - lower))


def schedule(steps: int) -> list[float]:
    """β₀ = 0, …, β_T = 1: even steps of a sigmoid from −4 to 4, short near both ends.

    >>> [round(beta, 4) for beta in schedule(4)]
    [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    sigmoid = torch.linspace(-STEEPNESS, STEEPNESS, steps + 1, dtype=torch.float64).sigmoid()
    return ((sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])).tolist()


def _check(steps: int, chains: int) -> None:
    check_count("steps to anneal", steps, most=10**5)
    check_count("chains to anneal", chains, most=10**6)


class _Point(NamedTuple):
    """Places z (chains, batch, latent) with log q(z|x), log p(x, z), and their gradients by z.

    ``log_ends`` and ``gradients`` hold the two one above the other, so that those of any π_β are a
    weighted sum.
    """

    z: Tensor
    log_ends: Tensor
    gradients: Tensor

    def log_density(self, beta: float) -> Tensor:
        """log π_β(z), up to a constant."""
        return (1 - beta) * self.log_ends[0] + beta * self.log_ends[1]

    def gradient(self, beta: float) -> Tensor:
        """∂ log π_β(z)/∂z."""
        return (1 - beta) * self.gradients[0] + beta * self.gradients[1]


class _Path:
    """From q(z|x) to p(x, z), for a batch of x."""

    def __init__(self, model: VAE, given: Conditioned) -> None:
        self.model, self.given, self.x, self.q = model, given, given.x, given.q
        self.scale = self.q.sample((SCALING_DRAWS,)).std(0)

    @torch.enable_grad()
    def at(self, z: Tensor) -> _Point:
        """The densities and their gradients at z."""
        z = z.detach().requires_grad_()
        d = self.given.at(z)
        ends = (d.log_q, d.log_p + d.log_likelihood)
        gradients = [torch.autograd.grad(end.sum(), z)[0] for end in ends]
        return _Point(z.detach(), torch.stack(ends).detach(), torch.stack(gradients).detach())

    def move(self, start: _Point, beta: float, size: Tensor) -> tuple[_Point, Tensor]:
        """One trajectory of Hamiltonian Monte Carlo, which leaves π_β as it is.

        Steps are ``size`` (batch,) standard deviations of q(z|x) long.  Returns where the chains
        are then, and the probability, (chains, batch), with which each was to move.

        Source: Neal, MCMC using Hamiltonian dynamics, 2011, arXiv 1206.1901.
        """
        epsilon = size.unsqueeze(-1) * self.scale
        momentum = first = torch.randn_like(start.z)
        end = start
        for _ in range(LEAPFROGS):
            momentum = momentum + 0.5 * epsilon * end.gradient(beta)
            end = self.at(end.z + epsilon * momentum)
            momentum = momentum + 0.5 * epsilon * end.gradient(beta)
        kinetic = 0.5 * (momentum.square() - first.square()).sum(-1)
        log_ratio = end.log_density(beta) - start.log_density(beta) - kinetic
        probability = log_ratio.exp().clamp(max=1).nan_to_num(0)
        moved = torch.rand_like(probability) < probability
        each = moved.unsqueeze(-1)
        return _Point(
            torch.where(each, end.z, start.z),
            torch.where(moved, end.log_ends, start.log_ends),
            torch.where(each, end.gradients, start.gradients),
        ), probability


def _step_sizes(path: _Path, betas: list[float], tally: _Tally) -> Tensor:
    """Sizes (T − 1, batch) with which 65 % of the trajectories at β₁ … β_T₋₁ are accepted.

    By chains of their own: log ε grows with each trajectory by 0.2 (acceptance − 0.65).
    """
    moves = betas[1:-1]
    sizes = path.x.new_full((len(moves), len(path.x)), FIRST_STEP)
    if not len(moves):
        return sizes
    point, log_size = path.at(path.q.sample((PILOTS,))), sizes[0].log()
    for i in [0] * WARM_UP + list(range(len(moves))):
        point, probability = path.move(point, moves[i], log_size.exp())
        log_size = log_size + GAIN * (probability.mean(0) - ACCEPTANCE)
        sizes[i] = log_size.exp()
        tally.add(probability.numel())
    return sizes


def _pilots(steps: int) -> int:
    """Trajectories that finding the step sizes takes, for each example."""
    return PILOTS * (WARM_UP + steps - 1) if steps > 1 else 0


def _weights(
    path: _Path,
    betas: list[float],
    sizes: Tensor,
    chains: int,
    tally: _Tally,
    origin: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """log w of each chain, (chains, batch), along the path that ``betas`` take, and acceptance.

    With β falling from 1 to 0 and an exact posterior draw as ``origin``, these are the weights of
    the way back, with mean 1/p(x).
    """
    log_weights, accepted = [], path.x.new_zeros(len(path.x))
    for chunk in chunks(path.model, len(path.x), chains):
        z = path.q.sample((chunk,)) if origin is None else origin.expand(chunk, *origin.shape)
        point = path.at(z)
        log_w = torch.zeros_like(point.log_ends[0], dtype=torch.float64)
        for i, (beta, following) in enumerate(pairwise(betas)):
            log_w += (following - beta) * (point.log_ends[1] - point.log_ends[0])
            if i < len(sizes):
                point, probability = path.move(point, following, sizes[i])
                accepted = accepted + probability.sum(0)
                tally.add(probability.numel())
        log_weights.append(log_w)
    return torch.cat(log_weights), accepted / (chains * max(1, len(sizes)))


class _Tally:
    """Trajectories done, told to whoever watches."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.done, self.total = progress, 0, total

    def add(self, count: int) -> None:
        self.done += count
        if self.progress:
            self.progress(self.done, self.total)
