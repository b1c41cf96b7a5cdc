"""What is missing of examples, from what was observed of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.data import Data, Dataset, Splits, as_dataset, from_arrays
from lowerbound.data.assembly import is_plain
from lowerbound.distributions import (
    Joint,
    Nominal,
    as_diagonal,
    element_log_probs,
    has_density,
)
from lowerbound.errors import ConfigurationError, check_count
from lowerbound.evaluation.importance import effective_size
from lowerbound.evaluation.refit import refitted
from lowerbound.evaluation.walk import (
    Progress,
    batch_size,
    blocks,
    chunks,
    expect_finite,
    finite,
    judging,
    onwards,
)
from lowerbound.likelihoods import Heterogeneous, Likelihood
from lowerbound.likelihoods.support import check_support
from lowerbound.streams import Stream, generator, seeded
from lowerbound.vae import VAE, Conditioned

REFINED = 10
"""Times that missing elements are rebuilt for an encoder that takes none."""


@dataclass(frozen=True, eq=False)
class Imputed:
    """Examples whose missing elements are filled in, in the data's units and the model's columns.

    Attributes:
        x: (n, *shape); what was missing is its mean given what was observed, of categories and
            levels the likeliest.
        draws: (m, n, *shape); what was missing is drawn given what was observed; None without.
        effective_samples: what the draws of z are worth, (n,); see `EffectiveSamples`.  NaN of
            examples of which nothing was missing.
    """

    x: Tensor
    draws: Tensor | None
    effective_samples: Tensor


def impute(
    model: VAE | Sequence[VAE],
    data: Any,
    *,
    draws: int = 0,
    samples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Imputed:
    """The missing elements xᵐ of ``data``, given those observed, xᵒ, of the same example.

    E[xᵐ|xᵒ] ≈ Σ w̃ E[xᵐ|z], by z ~ q(z|xᵒ) and the weights w = p(xᵒ|z) p(z)/q(z|xᵒ), which are
    divided by their sum.  Draws are of p(xᵐ|z), at z that are drawn anew by these weights.

    The weights are right for any q, and worth most where it is near p(z|xᵒ): a diagonal Gaussian is
    refitted to each example, in 100 steps of gradients.  It starts at what the encoder says; one
    that was trained on whole examples is shown the rest as the model rebuilds it.  Its draws
    z = μ + σε take the same ε for every example, whose mean so depends on no other's.

    Of several models the conditional distributions are mixed in equal parts: each draw is of one of
    them, so that the spread of the draws has what the weights leave open as well.

    Args:
        model: one whose likelihood gives every element a probability of its own; or several that
            were trained on the same columns.
        data: the examples, NaN where an element is missing: a data set, or what makes one; of
            `Splits` the test set.
        draws: how many of each example to make besides, so that their spread shows what is not
            known.
        samples: draws z ~ q(z|xᵒ) for each example.
        seed: of all noise.
        progress: called with the examples done and their number.

    Raises:
        ConfigurationError: a likelihood of sequences, of draws of the weights, or with a σ that is
            the best of its batch; a deterministic posterior; or models that differ in columns,
            context or device.
        DataError: values that the model gives no probability, or so far from what it was trained
            on that nothing follows from them.

    Source: the weights are those of Mattei & Frellsen, MIWAE: deep generative modelling and
    imputation of incomplete data sets, 2019, arXiv 1812.02633; what is rebuilt is as in Rezende,
    Mohamed & Wierstra, 2014, arXiv 1401.4082, appendix F.
    """
    models = [model] if isinstance(model, VAE) else [*model]
    parts = [*imputed(models, data, draws, samples, seed, progress)]
    return Imputed(
        torch.cat([found.x for _, found in parts]),
        torch.cat([found.draws for _, found in parts if found.draws is not None], 1)
        if draws
        else None,
        torch.cat([found.effective_samples for _, found in parts]),
    )


def imputed(
    models: Sequence[VAE],
    data: Any,
    draws: int,
    samples: int,
    seed: int,
    progress: Progress | None = None,
) -> Iterator[tuple[Dataset, Imputed]]:
    """As `impute`, a block of the data at a time, each with the block as it was."""
    samples, draws = check_count("samples", samples), check_count("draws", draws, least=0)
    _expect_alike(models)
    for model in models:
        likelihood = model.likelihood
        separate = isinstance(likelihood, Likelihood | Heterogeneous)
        if not separate or getattr(likelihood, "sigma", None) == "optimal":
            raise ConfigurationError(
                "expected a likelihood that gives every element a probability of its own, got "
                f"{type(likelihood).__name__}{' with sigma optimal' * separate}; train with another"
            )
    data = _with_gaps(models[0], data)
    for block in blocks(models[0], data):
        tell = onwards(progress, block.first, len(data))
        yield block, _filled(models, block, draws, samples, seed, tell)


def _expect_alike(models: Sequence[VAE]) -> None:
    """Refuse models that do not tell of the same columns."""

    def told(model: VAE) -> tuple[Any, ...]:
        likelihood, device = model.likelihood, next(model.parameters()).device
        words = likelihood.categories_of() if isinstance(likelihood, Heterogeneous) else None
        return model.shape, model.columns, words, type(model.context), device

    if not models or any(told(model) != told(models[0]) for model in models):
        raise ConfigurationError(
            "expected one model or several of the same columns, context and device, got "
            + (", ".join(str(model.shape) for model in models) or "none")
        )


def _filled(
    models: Sequence[VAE],
    block: Dataset,
    draws: int,
    samples: int,
    seed: int,
    progress: Progress | None,
) -> Imputed:
    """What is missing of one block."""
    gaps = ~block.x.isfinite()
    holed = gaps.flatten(1).any(1).nonzero().flatten()
    x = block.x.clone()
    drawn = x.expand(draws, *x.shape).clone() if draws else None
    worth = torch.full((len(x),), torch.nan, dtype=torch.float64)

    in_float64 = all(next(model.parameters()).dtype == torch.float64 for model in models)

    @cache
    def in_double() -> list[VAE]:
        return [copy.deepcopy(model).double() for model in models]

    def measure(judged: Sequence[VAE], batch: Dataset) -> dict[str, Tensor]:
        labels = None if models[0].context is None else batch.context
        return _imputed(judged, batch.x.to(device), labels, draws, samples, seed)

    with ExitStack() as stack:
        for model in models:
            device = stack.enter_context(judging(model, seed, Stream.FILL, block.first))
        done = 0
        for rows in holed.split(batch_size(models[0])) if len(holed) else ():
            batch = block.subset(rows)
            found = measure(models, batch)
            if not finite(found).all() and not in_float64:
                with seeded(device, seed, Stream.AGAIN, Stream.FILL, block.first + done):
                    found = measure(in_double(), batch)
            x[rows] = torch.where(gaps[rows], found["mean"].to(x), x[rows])
            worth[rows] = found["effective_samples"].cpu()
            if drawn is not None:
                new = found["draws"].movedim(1, 0).to(x)
                drawn[:, rows] = torch.where(gaps[rows], new, drawn[:, rows])
            done += len(rows)
            if progress and done < len(holed):
                progress(int(rows[-1]) + 1, len(x))
    filled = x if drawn is None else torch.cat((x.unsqueeze(0), drawn)).movedim(1, 0)
    expect_finite({"x": filled}, "conditional means and draws", first=block.first)
    if progress:
        progress(len(x), len(x))
    return Imputed(x, drawn, worth)


def _with_gaps(model: VAE, data: Any) -> Data:
    """``data`` as the model has them, NaN where missing; a tensor's codes are its own."""
    if is_plain(data):
        found: Data = Dataset(data.detach().cpu(), name="tensor", missing=True)
    elif isinstance(data, Data | Splits):
        found = model.by_name(as_dataset(data, "test")).to("cpu")
    else:
        found = model.by_name(from_arrays(data, missing=True))
    if hasattr(model.likelihood, "takes_missing"):
        check_support(model.likelihood, model.transform, found)
    return found


class Weighed(NamedTuple):
    """Codes z (k, batch, d) of a model, log-weights (k, batch) in float64, and its context."""

    model: VAE
    z: Tensor
    log_w: Tensor
    context: Tensor | None


def _imputed(
    models: Sequence[VAE], x: Tensor, labels: Tensor | None, draws: int, samples: int, seed: int
) -> dict[str, Tensor]:
    """Of one batch x, NaN where missing: means, draws (batch, m, *shape), and effective samples."""
    parts = [_weighed(model, x, labels, samples, seed) for model in models]
    shares = torch.cat([part.log_w.log_softmax(0) for part in parts]) - math.log(len(parts))
    found = {"mean": _mean(parts), "effective_samples": effective_size(shares)}
    if draws:
        of = torch.randint(len(parts), (draws,), generator=generator(seed, Stream.MIX))
        counts = of.bincount(minlength=len(parts)).tolist()
        drawn = [_drawn(part, n) for part, n in zip(parts, counts, strict=True) if n]
        in_turn = of.argsort(stable=True).argsort().to(x.device)
        found["draws"] = torch.cat(drawn)[in_turn].movedim(0, 1)
    return found


def _weighed(model: VAE, x: Tensor, labels: Tensor | None, samples: int, seed: int) -> Weighed:
    """Draws z ~ q(z|xᵒ) and their log-weights."""
    dtype = next(model.parameters()).dtype
    x = model.transform.noiseless(x).to(dtype)
    context = model.features(labels, len(x))
    given = given_observed(model, x, context)
    if not has_density(given.q):
        raise ConfigurationError(
            "expected a posterior with a density, got a deterministic one, which cannot weigh "
            "codes; train with another posterior"
        )
    sizes = chunks(model, len(x), samples)
    if as_diagonal(given.q) is None:
        drawings = [given.draws(size) for size in sizes]
    else:
        with seeded(x.device, seed, Stream.IMPUTE):  # the same ε in every batch
            best = refitted(given, shared=True)
            noise = torch.randn(samples, 1, model.latent_dim, dtype=dtype, device=x.device)
        given = replace(given, q=best)
        drawings = [given.at(best.at(epsilon)) for epsilon in noise.split(next(sizes))]
    codes, weights = zip(*((d.z, d.log_w.double()) for d in drawings), strict=True)
    return Weighed(model, torch.cat(codes), torch.cat(weights), context)


def _drawn(part: Weighed, n: int) -> Tensor:
    """x ~ p(x|z) in the data's units, (n, batch, *shape), at n codes z drawn by their weights."""
    w = part.log_w.softmax(0)
    w = torch.where(w.isfinite().all(0), w, 1.0)  # what is lost is NaN in the mean
    chosen = torch.multinomial(w.T, n, replacement=True).T.unsqueeze(-1)
    z = part.z.gather(0, chosen.expand(-1, -1, part.z.shape[-1]))
    return part.model.transform.inverse(part.model.likelihood(z, part.context).sample())


def given_observed(model: VAE, x: Tensor, context: Tensor | None) -> Conditioned:
    """What codes are drawn from given xᵒ, of prepared x, NaN where missing: q(z|xᵒ), p(xᵒ|z)."""
    seen = ~x.isnan()
    told = any(getattr(part, "missing", False) for part in model.posterior.modules())
    whole = torch.where(seen, x, 0.0)
    if not told:
        for _ in range(REFINED):
            z = model.posterior(whole, context).mean
            whole = torch.where(seen, x, model.likelihood(z, context).mean)

    def log_likelihood(z: Tensor) -> Tensor:
        """log p(xᵒ|z), (k, batch)."""
        terms = element_log_probs(model.likelihood(z, context), whole)
        return torch.where(seen, terms, 0.0).flatten(2).sum(2)

    q = model.posterior(x if told else whole, context)
    return Conditioned(whole, q, model.prior(context), log_likelihood)


def _mean(parts: Sequence[Weighed]) -> Tensor:
    """Σ w E[x|z] in the data's units, (batch, *shape); of categories and levels the likeliest.

    Of several models, the mean over them.
    """
    mean: Tensor | float = 0.0
    shares: dict[int, Tensor] = {}
    for model, z, log_w, context in parts:
        w = log_w.softmax(0) / len(parts)
        at_once = next(chunks(model, z.shape[1], len(z)))
        for codes, weights in zip(z.split(at_once), w.split(at_once), strict=True):
            p = model.likelihood(codes, context)
            centre = model.transform.inverse(p.mean).double()
            wide = weights.reshape(*weights.shape, *[1] * (centre.ndim - 2))
            mean = mean + (wide * centre).sum(0)
            for i, probabilities in _categories(p):
                share = (weights[..., None, None] * probabilities).sum(0)
                shares[i] = shares[i] + share if i in shares else share
    assert isinstance(mean, Tensor)
    if shares and isinstance(p, Joint):
        likeliest = torch.zeros_like(p.mean[0])
        for i, share in shares.items():
            likeliest[:, p.columns[i]] = share.argmax(-1).to(likeliest)
        coded = [column for i in shares for column in p.columns[i]]
        mean[:, coded] = model.transform.inverse(likeliest)[:, coded].double()
    return mean


def _categories(p: Distribution) -> list[tuple[int, Tensor]]:
    """The fields of categories, by their places among all, and the probability of each category."""
    fields = p.fields if isinstance(p, Joint) else []
    bases = [(i, getattr(field, "base_dist", field)) for i, field in enumerate(fields)]
    return [(i, base.logits.softmax(-1)) for i, base in bases if isinstance(base, Nominal)]
