"""Bounds on held-out data, with standard errors, in memory that does not grow with samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lowerbound.data import Data
from lowerbound.data.moments import Moments
from lowerbound.distributions import has_density
from lowerbound.divergences import exact_kl, kl_terms
from lowerbound.errors import check_count
from lowerbound.evaluation.estimates import Estimate, Figures
from lowerbound.evaluation.importance import (
    EffectiveSamples,
    WeightSums,
    effective_samples,
    group_sizes,
)
from lowerbound.evaluation.walk import (
    Found,
    Progress,
    chunks,
    example_blocks,
    finite,
    held_out,
    infinite,
    listed,
)
from lowerbound.streams import Stream
from lowerbound.vae import VAE, Conditioned

ACTIVE_VARIANCE = 0.01
RISE = 0.01


@dataclass(frozen=True)
class Bound:
    """The importance-weighted bound with k = ``samples``, nats."""

    samples: int
    bound: Estimate


@dataclass(frozen=True)
class Evaluation(Figures):
    """What `evaluate` measured: nats per example, unless said otherwise.

    Attributes:
        examples: how many the figures are of.
        left_out: the numbers, from 0, of those that have no finite bound.
        measures: what the bounds are bounds of, in words.
        samples: draws z ~ q(z|x) for each example.
        reconstruction: −E_q log p(x|z).
        kl: KL(q(z|x) ‖ p(z)); None for a deterministic posterior, as all below.
        elbo: −reconstruction − kl ≤ log p(x).
        importance_weighted: the bound log (1/k) Σ w, with k = ``samples``; at least the ELBO.  It
            too is blind to modes of p(z|x) that q misses, whatever k and the effective samples.
        effective_samples: what those k draws are worth.
        curve: the bound for 1, …, k draws, from the same draws in disjoint groups.
        rise: of the bound over the last step of ``curve``, which it lacks at the least, if it still
            rises; None with one draw.
        in_data_units: of rows, ``importance_weighted`` as a bound on their log-density in the
            units of their columns, over what is observed; None where the likelihood is no density
            of the data.
        bits_per_dimension: the same of data of all shapes, in bits; None also where fields are of
            several kinds, or some are missing.
        active_units: latent dimensions whose posterior mean varies by more than 0.01 (its variance
            over the data; Burda et al. 2015).
        latent_dim: dimensions of z.
        kl_per_dimension: mean KL of each latent dimension; None where q or p does not factorise.
        variance_per_dimension: of the posterior mean, over the data.
    """

    examples: int
    left_out: list[int]
    measures: str
    samples: int
    reconstruction: Estimate
    kl: Estimate | None
    elbo: Estimate | None
    importance_weighted: Estimate | None
    effective_samples: EffectiveSamples | None
    curve: list[Bound] | None
    rise: Estimate | None
    in_data_units: Estimate | None
    bits_per_dimension: Estimate | None
    active_units: int
    latent_dim: int
    kl_per_dimension: list[float] | None
    variance_per_dimension: list[float]

    @property
    def is_rising(self) -> bool:
        """Whether more draws would surely raise the bound by more than 0.01 nats."""
        rise = self.rise
        return rise is not None and rise.value - 2 * rise.standard_error > RISE

    def __str__(self) -> str:
        rows = [
            ("ELBO", self.elbo, "nats"),
            ("KL", self.kl, "nats"),
            ("reconstruction (−log p(x|z))", self.reconstruction, "nats"),
            (f"importance-weighted, k={self.samples}", self.importance_weighted, "nats"),
        ]
        if self.in_data_units in (None, self.importance_weighted):
            rows.append(("  in bits per dimension as kept", self.bits_per_dimension, "bits"))
        else:
            rows.append(("  in the units of the columns", self.in_data_units, "nats"))
        lines = [
            f"{self.examples:,} examples; lower bounds on the {self.measures}; ± over examples"
        ]
        if self.left_out:
            lines.append(f"  {without(self.left_out)}")
        for name, mean, unit in rows:
            if mean is not None:
                digits = 4 if unit == "bits" else 2
                lines.append(f"  {name:<32}{mean:>12.{digits}f} {unit}")
        if self.importance_weighted is not None:
            lines.append("    blind to modes of p(z|x) that q(z|x) misses")
        if self.curve is not None and self.rise is not None and self.is_rising:
            fewer = self.curve[-2].samples
            lines.append(f"  {f'  still rising, from k={fewer:,} by':<32}{self.rise:>12.2f} nats")
        if self.effective_samples is not None:
            worth = self.effective_samples
            line = f"  {'  effective samples, median':<32}{worth.median:>12.1f} of {self.samples:,}"
            if self.samples > worth.limit:
                line += f" (below {worth.limit} for {worth.below:.0%} of examples)"
            lines.append(line)
        active = f"{self.active_units} of {self.latent_dim}"
        return "\n".join([*lines, f"  {'active units':<32}{active:>12}"])


def evaluate(
    model: VAE,
    data: Any,
    *,
    samples: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
    found: Iterable[Mapping[str, Tensor]] | None = None,
) -> Evaluation:
    """Bounds on log p(x) of ``data``, from ``samples`` draws z ~ q(z|x) per example.

    The reconstruction and the ELBO are averages over those draws.  The model is judged in
    evaluation mode, on the device it is on; torch's generators are left as they were.  Memory grows
    by the effective samples of each example, one number, and else by none.

    Args:
        model: its bounds also need a posterior with a density.
        data: the examples, whatever `data.as_dataset` takes; of `Splits` the test set.
        samples: k, the draws for each example, at least 1.
        seed: of all noise: the draws, and what the transform adds.
        progress: called with the examples done and their number.
        found: what `bound_blocks` finds of each block of the data, where that is done already.

    Raises:
        ConfigurationError: ``samples`` is below 1, or there are fewer than two examples, from
            which no standard error could be estimated.
        DataError: fewer than two examples have a finite bound.
    """
    samples = check_count("samples", samples)
    data, running = held_out(data), _Running()
    if found is None:
        found = (columns for _, columns in bound_blocks(model, data, samples, seed, progress))
    for columns in found:
        running.add(columns)
    if running.examples < 2:
        raise infinite(running.left_out, len(data))
    weighted, in_data_units = map(running.estimate, ("importance_weighted", "in_data_units"))
    variance, terms = running.moments["mean"].variance(), running.moments.get("kl_terms")
    reconstruction = running.estimate("reconstruction")
    assert reconstruction is not None
    return Evaluation(
        examples=running.examples,
        left_out=running.left_out,
        measures=measures(model),
        samples=samples,
        reconstruction=reconstruction,
        kl=running.estimate("kl"),
        elbo=running.estimate("elbo"),
        importance_weighted=weighted,
        effective_samples=effective_samples(torch.cat(running.worth)) if weighted else None,
        curve=_curve(running.estimates("curve"), samples) if weighted else None,
        rise=running.estimate("rise"),
        in_data_units=in_data_units if len(model.shape) == 1 else None,
        bits_per_dimension=in_data_units and bits_per_dimension(model, in_data_units),
        active_units=int((variance > ACTIVE_VARIANCE).sum()),
        latent_dim=model.latent_dim,
        kl_per_dimension=None if terms is None else terms.mean.tolist(),
        variance_per_dimension=variance.tolist(),
    )


def bound_blocks(
    model: VAE,
    data: Data,
    samples: int,
    seed: int,
    progress: Progress | None = None,
    which: Iterable[range] | None = None,
) -> Iterator[Found]:
    """What `evaluate` takes in of each block of the data; ``which`` is as in `blocks`."""

    def measure(given: Conditioned) -> dict[str, Tensor]:
        columns = example_bounds(model, given, samples) | {"mean": given.q.mean}
        if model.is_density and has_density(given.q):
            volume = model.transform.log_volume(given.x)
            columns["in_data_units"] = columns["importance_weighted"] + volume
        terms = kl_terms(given.q, given.p)
        return columns if terms is None else columns | {"kl_terms": terms.expand(len(given.x), -1)}

    return example_blocks(
        *(model, data, measure),
        seed=seed,
        stream=Stream.EVALUATE,
        draws=samples,
        progress=progress,
        which=which,
    )


class _Running:
    """What is known of the examples so far, but for those without finite figures."""

    def __init__(self) -> None:
        self.seen, self.examples, self.left_out = 0, 0, list[int]()
        self.moments, self.worth = dict[str, Moments](), list[Tensor]()

    def add(self, found: Mapping[str, Tensor]) -> None:
        """Take in the columns of the next examples."""
        sound = finite(found)
        self.examples += int(sound.sum())
        self.left_out += ((~sound).nonzero().flatten() + self.seen).tolist()
        self.seen += len(sound)
        if "curve" in found:
            self.worth.append(found["effective_samples"][sound])
            if found["curve"].shape[1] > 1:
                found = {**found, "rise": found["curve"][:, -2:].diff()}
        for name, column in found.items():
            rows = column.reshape(len(column), -1)[sound]
            self.moments.setdefault(name, Moments()).add(rows)

    def estimates(self, name: str) -> list[Estimate]:
        """The means of a column's numbers, over examples."""
        found = self.moments[name]
        errors = (found.variance() / self.examples).sqrt()
        return [Estimate(*pair) for pair in zip(found.mean.tolist(), errors.tolist(), strict=True)]

    def estimate(self, name: str) -> Estimate | None:
        """The one of a column with one number, if it is there."""
        return self.estimates(name)[0] if name in self.moments else None


def without(left_out: list[int]) -> str:
    """What `Evaluation` left out, in words."""
    return (
        f"without {listed(left_out)}, of which float64 holds no bound: far from what the model was "
        "trained on, or of probability 0 under it"
    )


def _curve(bounds: list[Estimate], samples: int) -> list[Bound]:
    return [Bound(k, bound) for k, bound in zip(group_sizes(samples), bounds, strict=True)]


def example_bounds(model: VAE, given: Conditioned, samples: int) -> dict[str, Tensor]:
    """Per example: −E log p(x|z), and with a density q(z|x) also KL, ELBO, and log (1/k) Σ w.

    With these, the effective sample size of the weights, and the bound's ``curve`` over k, (batch,
    sizes).
    """
    if not has_density(given.q):
        return {"reconstruction": -given.log_likelihood(given.q.mean)}
    weights, n = WeightSums(samples), len(given.x)
    log_likelihood, log_ratio = given.x.new_zeros(2, n, dtype=torch.float64)
    for chunk in chunks(model, n, samples):
        d = given.draws(chunk)
        log_likelihood = log_likelihood + d.log_likelihood.sum(0, dtype=torch.float64)
        log_ratio = log_ratio + d.log_ratio.sum(0, dtype=torch.float64)
        weights.add(d.log_w)
    exact = exact_kl(given.q, given.p)
    kl = log_ratio / samples if exact is None else exact.expand(n)
    reconstruction, curve = -log_likelihood / samples, weights.curve()
    return {
        "reconstruction": reconstruction,
        "kl": kl,
        "elbo": -reconstruction - kl,
        "importance_weighted": curve[:, -1],
        "effective_samples": weights.effective_size(),
        "curve": curve,
    }


def bits_per_dimension(model: VAE, in_data_units: Estimate) -> Estimate | None:
    """−bound / (D log 2); None of rows of fields of several kinds, or with some missing."""
    if getattr(model.likelihood, "takes_missing", False):
        return None
    return in_data_units.scaled(-1 / (math.prod(model.shape) * math.log(2)))


def measures(model: VAE) -> str:
    """What the bounds are bounds of."""
    given, wanted = model.transform.output, getattr(model.likelihood, "support", None)
    if given == "binarised" and wanted == "binary":
        return "log-probability of a random binarisation of x"
    fields = {support for _, support in wanted} if isinstance(wanted, tuple) else {wanted}
    if fields & {"continuous", "zero-inflated"} and model.is_density:
        discrete = "" if fields == {"continuous"} else ", its discrete fields by their probability"
        return f"log-density of x as the model sees it (after its transform){discrete}"
    if model.is_density:
        return "log-probability of x"
    if wanted == "binary":
        return "log-probability of the binarised x (its grey levels as soft targets)"
    return "a score of x, comparable only under this likelihood (no density of discrete data)"
