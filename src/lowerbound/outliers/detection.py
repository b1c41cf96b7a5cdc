"""Scores of examples, and how rare each is among inliers that were held out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lowerbound.data import Data
from lowerbound.errors import ConfigurationError, DataError, near
from lowerbound.evaluation.estimates import Figures
from lowerbound.evaluation.walk import Progress, blocks, held_out, onwards
from lowerbound.outliers.columns import some_of
from lowerbound.outliers.measures import Measures
from lowerbound.outliers.same import digests, places, telling
from lowerbound.outliers.scores import SCORES, TRIVIAL, default, lacks, score
from lowerbound.outliers.separation import Separation, separation
from lowerbound.vae import VAE

RATE = 0.01
DIGEST = "digest"
"""The column beside the scores of examples: `digests`."""

log = logging.getLogger("lowerbound")


@dataclass(frozen=True)
class Detection(Figures):
    """Each example's scores and p-values, (n,) by the score's name.

    Attributes:
        inliers: how many held-out ones p-values are against.
        rate: what p-values are flagged up to.
        scores: float64, higher where the example is stranger.
        calibration: the scores of the inliers, (m,).
        own: which of the inliers an example is itself, −1 if it is none, (n,).
        separation: of outliers from the other examples, where it is known which they are.
    """

    inliers: int
    rate: float
    scores: dict[str, Tensor]
    calibration: dict[str, Tensor]
    own: Tensor
    separation: dict[str, Separation] | None

    @cached_property
    def p_values(self) -> dict[str, Tensor]:
        """The share of inliers, the example among them, that are as strange: see `conformal`."""
        return {
            name: conformal(values, self.calibration[name], self.own)
            for name, values in self.scores.items()
        }

    @property
    def flagged(self) -> dict[str, float]:
        """The share of examples whose p-value is at most the rate, by score."""
        return {name: (p <= self.rate).double().mean().item() for name, p in self.p_values.items()}

    def strangest(self, n: int) -> Tensor:
        """The numbers of the ``n`` examples of the highest first score, strangest first."""
        scores = next(iter(self.scores.values()))
        return scores.argsort(descending=True, stable=True)[:n]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the examples one by one."""
        found = Figures.as_dict(self)
        del found["scores"], found["calibration"]
        return found | {"flagged": self.flagged}

    def __str__(self) -> str:
        n = len(next(iter(self.scores.values())))
        told = self.separation or {}
        head = f"  {'':<22}{'flagged':>9}"
        head += "   AUROC                AUPRC                FPR at 80 % TPR" if told else ""
        lines = [
            f"{n:,} examples; p-values against {self.inliers:,} held-out inliers, flagged up to "
            f"{self.rate:g}",
            head,
        ]
        for name, share in self.flagged.items():
            of_score = told.get(name)
            cells = (of_score.auroc, of_score.auprc, of_score.fpr80) if of_score else ()
            figures = "".join(f"   {cell!s:<18}" for cell in cells)
            lines.append(f"  {_label(name):<22}{share:>9.2%}{figures}".rstrip())
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What examples are compared with.

    Attributes:
        inliers: held-out examples, against which p-values are.
        train: training examples, to which scores are fitted.
    """

    inliers: Measures
    train: Measures

    @classmethod
    def of(
        cls,
        model: VAE,
        inliers: Any,
        train: Any = None,
        *,
        samples: int = 100,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Calibration:
        """By the examples that belong.

        For ``model``, ``inliers``, ``train``, ``samples``, ``seed`` and ``progress`` see `detect`.
        """
        inliers = model.expect(held_out(inliers, least=1))
        if train is None:
            numbers = torch.arange(len(inliers))
            train, inliers = (inliers.subset(numbers[i::2]) for i in (0, 1))
        else:
            train = model.expect(some_of(held_out(train)))
        return cls(*(Measures(model, data, samples, seed, progress) for data in (inliers, train)))

    def scores(self, name: str) -> Float[Tensor, " m"]:
        """Those of the inliers by the score called ``name``."""
        return score(name, self.inliers, self.train)

    @cached_property
    def digests(self) -> tuple[Tensor, Tensor]:
        """Those of the inliers, and of the training examples."""
        inliers, train = (digests(each.model, each.data) for each in (self.inliers, self.train))
        return inliers, train

    @cached_property
    def told(self) -> Bool[Tensor, " m"]:
        """Which inliers are known by their values: see `telling`."""
        return telling(*self.digests)

    def own(self, digest: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
        """Which inlier each example is by its ``digest``, −1 if it is none or that is not known."""
        return places(digest, self.digests[0], self.told)

    def p_values(self, name: str, x: Measures) -> Tensor:
        """Those of the examples measured, ``x``, by the score called ``name``: see `conformal`."""
        own = self.own(digests(x.model, x.data))
        return conformal(score(name, x, self.train), self.scores(name), own)


def detect(
    model: VAE,
    data: Any,
    inliers: Any,
    train: Any = None,
    *,
    scores: Sequence[str] = (),
    outlier: Bool[Tensor, " n"] | None = None,
    rate: float | None = None,
    samples: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
    found: Iterable[Mapping[str, Tensor]] | None = None,
) -> Detection:
    """Scores of ``data``, their p-values against ``inliers``, and what share of them is flagged.

    With the scores asked for come the trivial ones, which need no model.  The first decides which
    examples are strangest.

    Args:
        model: any VAE.
        data: the examples that may be of another kind; of `Splits` the test set.
        inliers: held-out examples that belong; of `Splits` the test set.
        train: training examples, to 5,000 of which scores are fitted.  None takes every other
            inlier for them, against which no p-value is then.
        scores: names of `SCORES`, or "all"; none takes `default`'s.
        outlier: which of ``data`` are outliers, if that is known.
        rate: what p-values are flagged up to; None takes 0.01, or what 1/(1 + m) comes to in
            whole hundredths, if m inliers can show no less.
        samples: draws z ~ q(z|x) for each example.
        seed: of all noise.
        progress: called with the examples done and their number, by each measure.
        found: what `score_blocks` finds of each block of the data, where that is done already.

    Raises:
        ConfigurationError: unknown scores, or ones that this model does not have; or too few
            inliers for the rate.
        DataError: data that do not fit the model; or all of them are outliers, or none.
    """
    names = chosen(model, scores)
    data, inliers = (model.expect(held_out(given, least=1)) for given in (data, inliers))
    against = len(inliers) // (2 if train is None else 1)
    rate = usual_rate(against) if rate is None else rate
    check_rate(rate, against)
    how: Any = {"samples": samples, "seed": seed, "progress": progress}
    calibration = Calibration.of(model, inliers, train, **how)
    if outlier is not None:
        outlier = torch.as_tensor(outlier).bool().cpu()
        if len(outlier) != len(data):
            raise DataError(
                f"expected outlier to say of each of {len(data):,} examples whether it is one, got "
                f"{len(outlier):,} values"
            )
        if outlier.all() or not outlier.any():
            raise DataError(
                f"expected outliers and others, got {'only' if outlier.all() else 'no'} outliers; "
                "leave out which they are"
            )
    if found is None:
        found = score_blocks(model, data, calibration.train, names, progress)
    parts, told = [*found], None
    values = {name: torch.cat([part[name] for part in parts]) for name in names}
    if outlier is not None:
        told = {
            name: separation(of_each[~outlier], of_each[outlier], seed=seed)
            for name, of_each in values.items()
        }
    of_inliers = {name: calibration.scores(name) for name in names}
    digest = torch.cat([part[DIGEST] for part in parts])
    own = calibration.own(digest)
    _tell_known(digest, own, calibration, trained=train is not None)
    return Detection(len(calibration.inliers.data), rate, values, of_inliers, own, told)


def _tell_known(digest: Tensor, own: Tensor, calibration: Calibration, *, trained: bool) -> None:
    """How many of the examples are inliers, or were trained on, and what it means."""
    if inliers := int((own >= 0).sum()):
        log.info(
            "%s of %s examples are held-out inliers, each of which is compared with the others",
            *(f"{inliers:,}", f"{len(digest):,}"),
        )
    of_inliers, of_train = calibration.digests
    known = of_train[telling(of_train, of_inliers)]
    if trained and (seen := int(torch.isin(digest, known).sum())):
        log.info(
            "at least %s of %s examples are training data, which the model has learned to find "
            "usual: strange ones among them may not be flagged; train without those that are in "
            "doubt",
            *(f"{seen:,}", f"{len(digest):,}"),
        )


def score_blocks(
    model: VAE,
    data: Data,
    train: Measures,
    names: Sequence[str],
    progress: Progress | None = None,
    which: Iterable[range] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """The scores of each block, by what is measured of ``train``, and its `digests`."""
    for block in blocks(model, model.expect(data), which):
        tell = onwards(progress, block.first, len(data))
        x = Measures(model, block, train.samples, train.seed, tell)
        yield {name: score(name, x, train) for name in names} | {DIGEST: digests(model, block)}


def conformal(
    scores: Float[Tensor, " n"],
    calibration: Float[Tensor, " m"],
    own: Int64[Tensor, " n"] | None = None,
) -> Tensor:
    """p = (1 + #{calibration ≥ score})/(1 + m), float64, (n,).

    Of a fresh inlier, P(p ≤ α) ≤ α for every α, whatever the score and the model.  An example that
    is itself in the calibration is compared with the m − 1 others, as if it were fresh.

    Args:
        scores: higher where the example is stranger.
        calibration: scores of inliers that nothing was fitted to.
        own: which of these an example is itself, −1 if it is none.

    Source: Vovk, Gammerman & Shafer, Algorithmic learning in a random world, 2005; for outliers
    Bates et al., Testing for outliers with conformal p-values, 2021, arXiv 2104.08279.

    >>> conformal(torch.tensor([0.0, 2.0, 9.0]), torch.tensor([1.0, 2.0, 3.0]))
    tensor([1.0000, 0.7500, 0.2500], dtype=torch.float64)
    """
    m = len(calibration)
    as_strange = m - torch.searchsorted(calibration.sort().values, scores, side="left")
    if own is None:
        own = torch.full((len(scores),), -1)
    itself = (own >= 0).long()
    as_strange -= itself * (calibration[own] >= scores)
    return (1 + as_strange).double() / (1 + m - itself)


def usual_rate(inliers: int) -> float:
    """`RATE`, or the lowest p-value that ``inliers`` show, in whole hundredths, if it is higher."""
    rate = _shown(inliers) if inliers else RATE
    if rate > RATE:
        log.info(
            "flagged up to p = %g, not %g: against %s held-out inliers p-values end at %.2g",
            *(rate, RATE, inliers, 1 / (1 + inliers)),
        )
    return rate


def _shown(inliers: int) -> float:
    """1/(1 + ``inliers``), rounded up to hundredths."""
    return math.ceil(100 / (1 + inliers)) / 100


def check_rate(rate: float, inliers: int) -> None:
    """Raises ConfigurationError: no p-value against so many ``inliers`` is as low as ``rate``."""
    if not 0 < rate < 1:
        raise ConfigurationError(f"expected a rate above 0 and below 1, got {rate}")
    least = 1 / (1 + inliers)
    if rate < least:
        lowest = f"{_shown(inliers):g}"
        raise ConfigurationError(
            f"expected at least {math.ceil(1 / rate) - 1:,} held-out inliers for a rate of {rate:g}"
            f", got {inliers:,}, against which p-values end at {least:.2g}; "
            + (f"take a rate of {lowest} (--rate {lowest}), or " if inliers else "")
            + "hold out more"
        )


def chosen(model: VAE, scores: Sequence[str] = ()) -> list[str]:
    """Names of the scores to take: those given, or the default, and the trivial ones; each once.

    "all" stands for every score that the model has, its default first.

    Raises:
        ConfigurationError: there is no such score, or none of this ``model``.
    """
    every = [default(model), *(name for name in SCORES if not lacks(model, name))]
    given = [name.replace("-", "_") for name in scores] or [default(model)]
    names = [each for name in given for each in (every if name == "all" else [name])]
    for name in names:
        if name not in SCORES:
            raise ConfigurationError(f"unknown score {name!r}; {near(name, (*SCORES, 'all'))}")
        if why := lacks(model, name):
            raise ConfigurationError(f"{name}: {why}")
    return [*dict.fromkeys((*names, *TRIVIAL))]


def _label(name: str) -> str:
    return f"{name} (no model)" if name in TRIVIAL else name
