"""Does the likelihood fit the data: its family, and the size of its noise?"""

from __future__ import annotations

import math

from torch import Tensor

from lowerbound.diagnosis.alternatives import STEPS, bits_of_alternatives, families
from lowerbound.diagnosis.encoder import expect_as_stated, expect_settled
from lowerbound.diagnosis.families import family_of, gaussian, unfit
from lowerbound.diagnosis.finding import Measured, NotChecked, say
from lowerbound.diagnosis.thresholds import BETTER, NOISE_OFF, SURE, WORSE, surely_above
from lowerbound.diagnosis.trained import TrainedModel, error_ratios, has_mean, once
from lowerbound.evaluation import Estimate, estimate


def likelihood_fit(trained: TrainedModel) -> Measured:
    """Whether p(x|z) is a density of such data, and whether another likelihood codes them shorter.

    See `alternatives` for what is trained to compare.
    """
    form, share, seen = unfit(trained)
    family = family_of(trained)
    names = families(trained.test.kind)
    if not form and (family not in names or len(names) == 1):
        return Measured(family=family, seen=seen)
    bits = {} if trained.train is None else bits_of_alternatives(trained)
    means = {name: estimate(each).value for name, each in bits.items()}
    ranked = dict(sorted(means.items(), key=lambda item: item[1]))
    best, saved, advice = next(iter(ranked), names[0]), None, ""
    if form and means:
        advice = say("likelihood", "advice", steps=STEPS, ranked=_listed(ranked))
    elif not form and family in means:
        best = next(name for name in ranked if name != family)
        saved = estimate(bits[family] - bits[best])
        if is_surely_better(bits[family] - bits[best]):
            form = "better-for-counts" if trained.test.kind == "counts" else "better"
    return Measured(
        form,
        "compared" if means else "not-compared",
        family=family,
        seen=seen,
        share=share,
        bits=means,
        listed=_listed(means),
        further={f"bits per dimension, {name}": value for name, value in means.items()},
        best=best,
        advice=advice,
        saved=saved,
        of_best=means.get(best),
        of_own=means.get(family),
    )


def is_surely_better(saved: Tensor) -> bool:
    """By the mean of the bits saved, or where a few rows decide that, in most of the rows too."""
    if surely_above(estimate(saved), BETTER):
        return True
    most = estimate((saved > BETTER).double())
    return estimate(saved).value > BETTER and surely_above(most, 0.5)


def reconstruction(trained: TrainedModel) -> Measured:
    """The squared error of reconstructions over that of training's mean: its median over elements.

    So it has no unit, and neither columns with heavy tails nor pixels that hardly vary decide it.
    """
    if trained.train is None:
        raise NotChecked("no-training-data")
    expect_settled(trained)
    if not has_mean(trained.train):
        raise NotChecked("no-mean")
    ratios = error_ratios(trained)
    ratio = ratios.median().item()
    return Measured("" if ratio > WORSE else None, ratio=ratio, ratios=ratios)


def _listed(bits: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in bits.items())


@once
def decoder_noise(trained: TrainedModel) -> Measured:
    """σ of a Gaussian decoder beside the σ* that maximises the likelihood of the same means.

    σ*² = E (x − μ(z))², z ~ q(z|x), over all elements, on training data if there are any.  With
    r = σ*/σ the bound gains D (½ (r² − 1) − log r) nats from changing σ alone, and β (σ/σ*)² is the
    KL's weight in units of the best σ's reconstruction.  A decoder with a σ for each element is
    judged by its standardised errors, r² = E (x − μ(z))²/σ².
    """
    if gaussian(trained.likelihood) is None:
        raise NotChecked("no-gaussian")
    expect_as_stated(trained)

    def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        z = trained.model.posterior(x, context).sample()
        normal = gaussian(trained.model.likelihood(z, context))
        assert normal is not None
        squared = (x.reshape(normal.mean.shape) - normal.mean) ** 2
        variance = normal.variance.expand_as(squared)
        found = {"errors": squared / normal.variance, "variance": variance}
        return {name: column.flatten(1).mean(1) for name, column in found.items()}

    data = trained.test if trained.train is None else trained.train
    found = trained.columns(data, of)
    squared = estimate(found["errors"])
    ratio, size = math.sqrt(squared.value), math.prod(trained.model.shape)
    sigma = math.sqrt(found["variance"].double().mean().item())
    sure = SURE * squared.standard_error / (2 * squared.value)
    is_off = abs(math.log(ratio)) - sure > math.log(NOISE_OFF)
    return Measured(
        "" if is_off else None,
        sigma=sigma,
        best=sigma * ratio,
        excess=Estimate(1 / ratio, squared.standard_error / (2 * ratio**3)),
        weight=(1.0 if math.isnan(trained.last_beta) else trained.last_beta) / squared.value,
        lost=size * (0.5 * (squared.value - 1) - math.log(ratio)),
        elements=size,
    )
