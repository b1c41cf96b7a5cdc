"""Are the held-out data, and their labels, like those that the model was trained on?

Two samples of a number are compared by the largest difference d of their distribution functions
(Kolmogorov–Smirnov), which no unit and no tail of the data changes.  By chance it exceeds
√(½ (1/n + 1/m) log(2/α)) with probability α at most (for large n and m; Smirnov 1939).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.diagnosis.codes import difference
from lowerbound.diagnosis.finding import Measured, NotChecked
from lowerbound.diagnosis.thresholds import FAR_OUT, SURE, UNLIKE, VANISHED, surely_above
from lowerbound.diagnosis.trained import EXAMPLES, TrainedModel, halves, once
from lowerbound.evaluation import estimate
from lowerbound.evaluation.walk import listed
from lowerbound.streams import Stream, seed_noise

COMPARED = 1000
"""Most elements of x that are compared, at random."""

BY_CHANCE = 0.001
"""Chance that any of the differences of two samples from one source is found."""

DIRECTIONS = 50
"""Most directions of the joint distribution: one for every ten examples it is fitted to."""

FROM = (
    "squared distance from the main directions of training data, in normal scores",
    "squared distance along the main directions of training data, in their deviations",
)
"""What `_distances` are."""

DRAWS, OTHERS = 5, 4
"""Draws of z for each example and label, and other labels for each example."""


@once
def other_data(trained: TrainedModel) -> Measured:
    """Elements whose held-out distribution differs from training's, and how they hang together.

    The latter by the distance of each example from a Gaussian copula, which is fitted to half of
    the training data, drawn at random, and asked of the other half and of the held-out data.
    """
    if trained.training is None or trained.train is None:
        raise NotChecked("no-training-data")
    known, new = (data.x.flatten(1).double() for data in (trained.train, trained.test))
    chosen = torch.randperm(known.shape[1])[:COMPARED].sort().values
    known, new, tests = known[:, chosen], new[:, chosen], len(chosen) + 1
    values, others = (x.nan_to_num(nan=math.inf) for x in (known, new))  # a gap is a value too
    each, chance = distribution_distance(values, others), _chance(len(known), len(new), tests)
    odd, worst = each > chance + UNLIKE, int(each.argmax())
    fitted, kept = halves(known, trained.seed)
    near, far = (_distances(fitted, x) for x in (kept, new))
    apart, part = distribution_distance(near, far).max(0)
    joint = apart.item()
    together = joint > _chance(len(kept), len(new), tests) + UNLIKE
    like = distribution_distance(others[:, [worst]].expand_as(others), values)
    alike = (like < chance).nonzero().flatten()
    name = _name(trained.test, int(chosen[worst]))
    shown = (known[:, worst], new[:, worst]) if odd.any() else (near[:, part], far[:, part])
    hint = ""
    if odd.any() and len(alike):
        other = _name(trained.test, int(chosen[alike[0]]))
        hint = f" It is distributed as {other} is in training."
    return Measured(
        "elements" if odd.any() else "together" if together else None,
        odd=int(odd.sum()),
        total=len(chosen),
        largest=each[worst].item(),
        joint=joint,
        worst=name,
        known=_quartiles(known[:, worst]),
        new=_quartiles(new[:, worst]),
        hint=hint,
        heading=name if odd.any() else "all of x together",
        xlabel="value" if odd.any() else FROM[part],
        samples={
            which: x[~x.isnan()]
            for which, x in zip(("training", "held out"), shown, strict=True)
            if not x.isnan().all()
        },
    )


def _name(data: Dataset, i: int) -> str:
    """An element of x, as a user knows it."""
    if len(data.shape) == 1:
        return f"column {data.columns[i] if data.columns else i}"
    return f"element {tuple(map(int, np.unravel_index(i, data.shape)))}"


def _quartiles(x: Tensor) -> str:
    observed = x[~x.isnan()]
    if not len(observed):
        return "nothing"
    low, middle, high = observed.quantile(torch.tensor([0.25, 0.5, 0.75]).double()).tolist()
    return f"{middle:.4g} ({low:.4g} to {high:.4g})".replace("-", "−")


def _chance(n: int, m: int, tests: int) -> float:
    """The largest difference that chance makes in so many of them."""
    return math.sqrt(0.5 * (1 / n + 1 / m) * math.log(2 * tests / BY_CHANCE))


def distribution_distance(a: Tensor, b: Tensor) -> Tensor:
    """The largest difference of the distribution functions of each column, (d,): 0 to 1.

    Of what is not NaN in the columns of a, (n, d), and b, (m, d); 0 where either has nothing.
    """
    held = [~x.isnan() for x in (a, b)]
    first, second = (each.double() / each.sum(0).clamp(min=1) for each in held)
    values, order = torch.cat((a, b)).nan_to_num(nan=math.inf).sort(0)
    differences = torch.cat((first, -second)).gather(0, order).cumsum(0).abs()
    last = torch.ones_like(values, dtype=torch.bool)
    last[:-1] = values[1:] != values[:-1]
    largest = torch.where(last, differences, 0.0).amax(0)
    return torch.where(held[0].any(0) & held[1].any(0), largest, 0.0)


def _distances(fitted: Tensor, x: Tensor) -> Tensor:
    """Distances of x, (m, 2), within and from the first directions of the fitted data.

    Both are in their normal scores, Φ⁻¹ of each element's distribution function, so that scales
    and tails do not matter.
    """
    fitted, x = _scores(fitted, fitted), _scores(fitted, x)
    centre = fitted.mean(0)
    k = max(1, min(DIRECTIONS, fitted.shape[1], len(fitted) // 10))
    _, s, directions = torch.linalg.svd(fitted - centre, full_matrices=False)
    scale = (s[:k] / math.sqrt(len(fitted))).clamp(min=1e-3)
    along = (x - centre) @ directions[:k].mT
    rest = (x - centre - along @ directions[:k]).square().sum(1)
    return torch.stack((rest, (along / scale).square().sum(1)), 1)


def _scores(fitted: Tensor, x: Tensor) -> Tensor:
    """Φ⁻¹ of the fitted distribution functions, ties in their middle; 0 where missing."""
    ordered = fitted.nan_to_num(nan=math.inf).sort(0).values.mT.contiguous()
    values = x.nan_to_num(nan=0.0).mT.contiguous()
    below = torch.searchsorted(ordered, values)
    upto = torch.searchsorted(ordered, values, right=True)
    share = ((below + upto) / 2 + 0.5) / (len(fitted) + 1)
    return torch.where(x.isnan(), 0.0, torch.special.ndtri(share.mT.double()))


def far_rows(trained: TrainedModel) -> Measured:
    """Examples with an element much further from its median than nine in ten of its values.

    The nine in ten are of those that differ from the median.
    """
    sample = trained.test if trained.train is None else trained.train
    if sample.kind in ("binary", "grey", "unit"):
        raise NotChecked("bounded")
    x = sample.x.flatten(1).double()
    centre = x.nanmedian(0).values
    distances = (x - centre).abs().nan_to_num(nan=0.0).sort(0).values
    others = (distances > 0).sum(0)
    place = (len(x) - others + (others - 1) * 9 // 10).clamp(max=len(x) - 1)
    usual = distances.gather(0, place.unsqueeze(0)).squeeze(0)
    splits = {"training": trained.training, "held-out": trained.held_out}
    sets = {which: data for which, data in splits.items() if data is not None}
    times = {which: _times_as_far(data.x, centre, usual) for which, data in sets.items()}
    far = {which: (each[0] > FAR_OUT).nonzero().flatten().tolist() for which, each in times.items()}
    which = max(times, key=lambda name: times[name][0].max().item())
    data, (furthest, element) = sets[which], times[which]
    row = int(furthest.argmax())
    return Measured(
        "" if any(far.values()) else None,
        far=sum(map(len, far.values())),
        named=" and ".join(f"{name} {listed(rows)}" for name, rows in far.items() if rows),
        times=furthest[row].item(),
        row=f"{which} example {row}",
        element=_name(data, int(element[row])),
        value=data.x[row].flatten()[element[row]].item(),
        of_each={name: each[0] for name, each in times.items()},
    )


def _times_as_far(x: Tensor, centre: Tensor, usual: Tensor) -> tuple[Tensor, Tensor]:
    """The furthest element of each example, in units of the usual distance, and its number."""
    parts = (part.flatten(1).double() for part in x.split(EXAMPLES))
    found = [((part - centre).abs() / usual).nan_to_num(nan=0.0).max(1) for part in parts]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


@once
def labels(trained: TrainedModel) -> Measured:
    """What each example's label tells the model: the ELBO with it less that with another one.

    Or its covariates.

    Of the held-out data, beside training data with the same shares of classes.
    """
    if trained.model.context is None:
        raise NotChecked("no-context")
    if trained.train is None:
        raise NotChecked("no-training-data")
    both = trained.train, trained.test
    classes, place = torch.cat([_context(data) for data in both]).unique(return_inverse=True, dim=0)
    if len(classes) < 2:
        raise NotChecked("one-class")
    places = place.split([len(data) for data in both])
    of_known, of_new = (
        _told(trained, data, classes, at) for data, at in zip(both, places, strict=True)
    )
    shares, wanted = (at.bincount(minlength=len(classes)).double() / len(at) for at in places)
    of_known_alike = of_known * (wanted / shares)[places[0]]
    known, alike, new = (estimate(each) for each in (of_known, of_known_alike, of_new))
    form = None
    if known.value + SURE * known.standard_error < VANISHED:
        form = "say-nothing" if trained.model.takes_labels else "covariates-say-nothing"
    elif surely_above(alike, VANISHED) and surely_above(
        difference(0.5 * of_known_alike, of_new), 0
    ):
        form, known = "other", alike
    return Measured(form, known=known, new=new)


def has_other_labels(trained: TrainedModel) -> bool:
    """Whether the held-out labels are known not to be those of training."""
    try:
        return labels(trained).form == "other"
    except NotChecked:
        return False


def _context(data: Dataset) -> Tensor:
    assert data.context is not None
    return data.context


def _told(trained: TrainedModel, data: Dataset, classes: Tensor, place: Tensor) -> Tensor:
    """The ELBO with the context less that with another of the classes, (n,), by the same noise."""
    moved = torch.randint(1, len(classes), (OTHERS, len(place)))

    def elbo(context: Tensor) -> Tensor:
        def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
            return {"elbo": trained.model.draws(x, DRAWS, context).log_w.mean(0)}

        seed_noise(trained.device, trained.seed, Stream.LABELS)
        found = trained.columns(_with(data, context), of, DRAWS)
        return found["elbo"].double()

    others = classes[(place + moved) % len(classes)]
    return elbo(_context(data)) - torch.stack([elbo(each) for each in others]).mean(0)


def _with(data: Dataset, context: Tensor) -> Dataset:
    """``data`` of other classes, or other covariates."""
    if data.given is None:
        return dataclasses.replace(data, labels=context)
    return dataclasses.replace(data, given=dataclasses.replace(data.given, x=context))
