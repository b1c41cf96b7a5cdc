"""Bounds on held-out data, with standard errors, in memory that does not grow with samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from lowerbound.data import Data, as_dataset
from lowerbound.data.moments import Moments
from lowerbound.distributions import Delta
from lowerbound.divergences import kl_terms
from lowerbound.environment import keep_freed_memory
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.evaluation.importance import (
    EffectiveSamples,
    Weights,
    effective_samples,
    group_sizes,
)
from lowerbound.vae import VAE

IMAGES_PER_BATCH = 500
ELEMENTS_PER_CHUNK = 2**20
ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class Estimate:
    """A mean over examples and its standard error."""

    value: float
    standard_error: float

    def scaled(self, factor: float, offset: float = 0.0) -> Estimate:
        """factor × (this + offset)."""
        return Estimate(factor * (self.value + offset), abs(factor) * self.standard_error)


@dataclass(frozen=True)
class Between:
    """What lies, in expectation, between two estimates."""

    lower: Estimate
    upper: Estimate


@dataclass(frozen=True)
class Bound:
    """The importance-weighted bound with k = ``samples``."""

    samples: int
    bound: Estimate


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured: nats per example, unless said otherwise.

    Attributes:
        examples: how many.
        measures: what the bounds are bounds of, in words.
        reconstruction: −E_q log p(x|z).
        kl: KL(q(z|x) ‖ p(z)); None for a deterministic posterior, as all below.
        elbo: −reconstruction − kl ≤ log p(x).
        importance_weighted: the bound log (1/k) Σ w, with k = ``samples``; at least the ELBO.
        effective_samples: what those k draws are worth.
        curve: the bound for 1, …, k draws, from the same draws in disjoint groups.
        bits_per_dimension: of ``importance_weighted``, in the data's units; None where the
            likelihood is no density of the data.
        active_units: latent dimensions whose posterior mean varies by more than 0.01 (its variance
            over the data; Burda et al. 2015).
        kl_per_dimension: mean KL of each latent dimension; None where q or p does not factorise.
        variance_per_dimension: of the posterior mean, over the data.
    """

    examples: int
    measures: str
    samples: int
    reconstruction: Estimate
    kl: Estimate | None
    elbo: Estimate | None
    importance_weighted: Estimate | None
    effective_samples: EffectiveSamples | None
    curve: list[Bound] | None
    bits_per_dimension: Estimate | None
    active_units: int
    latent_dim: int
    kl_per_dimension: list[float] | None
    variance_per_dimension: list[float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [
            ("ELBO", self.elbo, "nats"),
            ("KL", self.kl, "nats"),
            ("reconstruction (−log p(x|z))", self.reconstruction, "nats"),
            (f"importance-weighted, k={self.samples}", self.importance_weighted, "nats"),
            ("  in bits per dimension as kept", self.bits_per_dimension, "bits"),
        ]
        lines = [f"{self.examples:,} examples; bounds on the {self.measures}"]
        for name, estimate, unit in rows:
            if estimate is not None:
                digits = 4 if unit == "bits" else 2
                value, error = estimate.value, estimate.standard_error
                lines.append(f"  {name:<32}{value:>12.{digits}f} ± {error:.{digits}f} {unit}")
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
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Bounds on log p(x) of ``data``, from ``samples`` draws z ~ q(z|x) per example.

    The reconstruction and the ELBO are averages over those draws.  The model is judged in
    evaluation mode, on the device it is on; torch's generators are left as they were.
    ``progress`` is called with the examples done and their number.

    Raises:
        ConfigurationError: ``samples`` is below 1, or there are fewer than two examples, from
            which no standard error could be had.
        DataError: an example has an infinite bound, or none.
    """
    if samples < 1:
        raise ConfigurationError(f"expected at least one sample, got {samples}")
    data = as_dataset(data, "test").to("cpu")
    if len(data) < 2:
        raise ConfigurationError(f"expected at least two examples to evaluate, got {len(data)}")
    with judging(model, seed) as device:
        return _evaluate(model, data, samples, device, progress)


@contextmanager
def judging(model: VAE, seed: int) -> Iterator[torch.device]:
    """The model's device, in evaluation mode, without gradients and with seeded noise.

    The model's mode and torch's generators are left as they were.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    keep_freed_memory()
    try:
        with torch.no_grad(), forked(device):
            torch.manual_seed(seed)
            yield device
    finally:
        model.train(was_training)


def _evaluate(
    model: VAE,
    data: Data,
    samples: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> Evaluation:
    columns: dict[str, list[Tensor]] = {}
    moments = Moments()
    kl_sum: Tensor | None = None
    done = 0
    for x, context in prepared_batches(model, data, device):
        q, p = model.posterior(x, context), model.prior(context)
        moments.add(q.mean)
        for name, column in example_bounds(model, x, context, q, p, samples).items():
            _refuse_non_finite(name, column, done)
            columns.setdefault(name, []).append(column.cpu())
        terms = kl_terms(q, p)
        if terms is not None:
            total = terms.expand(len(x), -1).sum(0, dtype=torch.float64)
            kl_sum = total if kl_sum is None else kl_sum + total
        done += len(x)
        if progress:
            progress(done, len(data))
    whole = {name: torch.cat(column) for name, column in columns.items()}
    estimates = {name: estimate(column) for name, column in whole.items() if column.ndim == 1}
    weighted = estimates.get("importance_weighted")
    variance = moments.variance()
    return Evaluation(
        examples=len(data),
        measures=measures(model),
        samples=samples,
        reconstruction=estimates["reconstruction"],
        kl=estimates.get("kl"),
        elbo=estimates.get("elbo"),
        importance_weighted=weighted,
        effective_samples=effective_samples(whole["effective_samples"]) if weighted else None,
        curve=_curve(whole["curve"], samples) if weighted else None,
        bits_per_dimension=weighted and bits_per_dimension(model, weighted),
        active_units=int((variance > ACTIVE_VARIANCE).sum()),
        latent_dim=model.latent_dim,
        kl_per_dimension=None if kl_sum is None else (kl_sum / len(data)).tolist(),
        variance_per_dimension=variance.tolist(),
    )


def _curve(bounds: Tensor, samples: int) -> list[Bound]:
    sizes = group_sizes(samples)
    return [Bound(k, estimate(column)) for k, column in zip(sizes, bounds.T, strict=True)]


def _refuse_non_finite(name: str, column: Tensor, first: int) -> None:
    if not column.isfinite().all():
        index = first + int(column.isfinite().logical_not().nonzero()[0])
        raise DataError(
            f"expected finite bounds, got {name} = {column[index - first].item()} for example "
            f"{index}; its values are far from what the model was trained on"
        )


def posteriors(model: VAE, data: Any) -> Iterator[Distribution]:
    """q(z|x) of the data in order, a batch at a time, without the transform's noise."""
    for x, labels in as_dataset(data, "test").batches(IMAGES_PER_BATCH):
        yield model.encode(x, labels)


def prepared_batches(
    model: VAE, data: Data, device: torch.device, copies: int = 1
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The data in order, a batch at a time, as the model's parts see it.

    Batches are such that ``copies`` codes for each example can be decoded at once.  What noise the
    transform adds follows from torch's seed and the example's place alone, so that all measures of
    one seed are of the same x.
    """
    size = max(1, min(IMAGES_PER_BATCH, ELEMENTS_PER_CHUNK // decoded_elements(model)))
    for i, batch in enumerate(data.batches(size, device=device)):
        with forked(device):
            # Not the seed itself, whose stream the draws of z are from.
            torch.manual_seed(torch.initial_seed() + 1 + i * size)
            x, context = model.prepare(*batch)
        yield from in_parts(model, x, context, copies)


def in_parts(
    model: VAE, x: Tensor, context: Tensor | None, copies: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """A batch in parts of which ``copies`` codes for each example can be decoded at once."""
    rows = max(1, ELEMENTS_PER_CHUNK // (copies * decoded_elements(model)))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        yield x[part], None if context is None else context[part]


def forked(device: torch.device) -> AbstractContextManager[None]:
    """Within, torch's generators may be seeded and used; after, they are as they were."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def example_bounds(
    model: VAE, x: Tensor, context: Tensor | None, q: Distribution, p: Distribution, samples: int
) -> dict[str, Tensor]:
    """Per example: −E log p(x|z), and with a density q(z|x) also KL, ELBO, and log (1/k) Σ w.

    With these, the effective sample size of the weights, and the bound's ``curve`` over k, (batch,
    sizes).
    """
    if isinstance(q, Delta):
        return {"reconstruction": -model.likelihood(q.mean, context).log_prob(x)}
    log_likelihood = log_ratio = None
    weights = Weights(samples)
    for chunk in chunks(model, len(x), samples):
        z = q.sample((chunk,))
        log_p = model.likelihood(z, context).log_prob(x)
        ratio = q.log_prob(z) - p.log_prob(z)
        log_likelihood = _plus(log_likelihood, log_p.sum(0))
        log_ratio = _plus(log_ratio, ratio.sum(0))
        weights.add(log_p - ratio)
    assert log_likelihood is not None
    assert log_ratio is not None
    try:
        kl = kl_divergence(q, p).expand(len(x))
    except NotImplementedError:
        kl = log_ratio / samples
    reconstruction, curve = -log_likelihood / samples, weights.curve()
    return {
        "reconstruction": reconstruction,
        "kl": kl,
        "elbo": -reconstruction - kl,
        "importance_weighted": curve[:, -1],
        "effective_samples": weights.effective_size(),
        "curve": curve,
    }


def _plus(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total + term


def decoded_elements(model: VAE) -> int:
    """Numbers that the decoder returns for one z."""
    return math.prod(model.shape) * getattr(model.likelihood, "numbers", 1)


def chunks(model: VAE, examples: int, samples: int) -> Iterator[int]:
    """Sizes that add up to ``samples``, each with a bounded number of decoded elements."""
    size = max(1, ELEMENTS_PER_CHUNK // (examples * decoded_elements(model)))
    while samples > 0:
        yield min(size, samples)
        samples -= size


def estimate(values: Tensor) -> Estimate:
    """The mean of ``values``, (n,), and its standard error."""
    values = values.double()
    return Estimate(values.mean().item(), values.std().item() / len(values) ** 0.5)


def bits_per_dimension(model: VAE, bound: Estimate) -> Estimate | None:
    """−bound / (D log 2) for the data as it is kept; None where it is no density of it."""
    if not model.is_density:
        return None
    factor = -1 / (math.prod(model.shape) * math.log(2))
    return bound.scaled(factor, model.transform.log_volume(model.shape))


def measures(model: VAE) -> str:
    """What the bounds are bounds of."""
    given, wanted = model.transform.output, getattr(model.likelihood, "support", None)
    if given == "binarised" and wanted == "binary":
        return "log-probability of a random binarisation of x"
    if given == wanted == "continuous":
        return "log-density of x as the model sees it (after its transform)"
    if model.is_density:
        return "log-probability of x"
    if wanted == "binary":
        return "log-probability of the binarised x (its grey levels as soft targets)"
    return "a score of x, comparable only under this likelihood (no density of discrete data)"
