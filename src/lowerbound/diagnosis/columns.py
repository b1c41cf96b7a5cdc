"""Are the columns of a table modelled as what they hold, and does the code tell of them?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from lowerbound.data import Dataset
from lowerbound.data.schema import fields_of, levels_of
from lowerbound.diagnosis.association import associations
from lowerbound.diagnosis.encoder import expect_settled
from lowerbound.diagnosis.finding import Measured, NotChecked
from lowerbound.diagnosis.thresholds import (
    HANGS_TOGETHER,
    HEAVY,
    IGNORED,
    INFLATED,
    STANDS_OUT,
    VANISHED,
    surely_above,
)
from lowerbound.diagnosis.trained import WEIGHTED, TrainedModel, once, subset
from lowerbound.distributions import Joint, element_log_probs
from lowerbound.evaluation import Estimate, estimate
from lowerbound.likelihoods import Heterogeneous, Likelihood

NAMED = 5
"""Columns that a sentence names."""

DEGREES = (1.0, 2.0, 4.0, 8.0)
"""Of the t distributions that errors are compared with."""

STEPS = 20
"""Of the iteration to the scale of such a distribution, which settles in as many."""

OTHERS = 50
"""Codes of other rows, by which a column is judged that is told nothing by its own."""


@dataclass(frozen=True)
class Modelled:
    """How each column of a table is modelled: the family, and what it is a probability of."""

    names: tuple[str, ...]
    families: tuple[str, ...]
    supports: tuple[str, ...]

    @property
    def dense(self) -> list[int]:
        """The columns with a density, in which no number has a probability."""
        return [i for i, support in enumerate(self.supports) if support == "continuous"]


def modelled(trained: TrainedModel) -> Modelled:
    """The family of each column.

    Raises:
        NotChecked: x is no table, or its likelihood gives columns no probabilities of their own.
    """
    expect_table(trained)
    part, size = trained.model.likelihood, trained.model.shape[0]
    names = tuple(name_of(trained.test, i) for i in range(size))
    if isinstance(part, Heterogeneous):
        family: dict[int, Any] = part.family_of()
    elif isinstance(part, Likelihood):
        family = dict.fromkeys(range(size), part)
    else:
        raise NotChecked("no-columns")
    every = [family[i] for i in range(size)]
    return Modelled(
        names, tuple(type(each).__name__ for each in every), tuple(e.support for e in every)
    )


def expect_table(trained: TrainedModel) -> None:
    """Refuse to ask of columns what has none.

    Raises:
        NotChecked: x is no table.
    """
    if len(trained.model.shape) != 1 or trained.test.kind in ("tokens", "grey"):
        raise NotChecked("no-table")


def name_of(data: Dataset, i: int) -> str:
    """A column, as a user knows it."""
    return data.columns[i] if data.columns else f"x[{i}]"


def coded(data: Dataset) -> list[int]:
    """The columns that hold codes of categories."""
    return [i for i, field in enumerate(fields_of(data.schema)) if field.categories]


def known(trained: TrainedModel) -> Dataset:
    """All training rows; without them the held-out ones."""
    return trained.held_out if trained.training is None else trained.training


@once
def levels(trained: TrainedModel) -> dict[int, tuple[float, ...]]:
    """By column the numbers of `known` rows, where they are few and met often."""
    return levels_of(known(trained).x.double())


def few_values(trained: TrainedModel) -> Measured:
    """Columns of a few numbers, each met often, of which p(x|z) is a density."""
    model, x = modelled(trained), known(trained).x.double()
    dense = model.dense
    few = {i: each for i, each in levels(trained).items() if i in dense}
    named = [f"{model.names[i]} ({len(each)} numbers)" for i, each in few.items()]
    worst = min(few, key=lambda i: len(few[i]), default=0)
    return Measured(
        "" if few else None,
        few=len(few),
        dense=len(dense),
        named=several(named),
        families=" and ".join(dict.fromkeys(model.families[i] for i in few)),
        first=model.names[worst],
        times={f"{level:g}": (x[:, worst] == level).sum().item() for level in few.get(worst, ())},
    )


@once
def frequent(trained: TrainedModel) -> dict[int, tuple[float, Estimate, float]]:
    """By column its most frequent number, the excess of its share, and what its family gives it.

    A density gives any number none of the probability; families of counts are asked for that of 0.
    """
    model, x = modelled(trained), known(trained).x.double()
    few, found = levels(trained), {}
    for i in (i for i in model.dense if i not in few):
        seen = x[~x[:, i].isnan(), i]
        values, times = seen.unique(return_counts=True)
        if len(values) > 1 and times.max() > STANDS_OUT * times.topk(2).values[1]:
            most = values[times.argmax()].item()
            found[i] = most, estimate((seen == most).double()), 0.0
    counts = [i for i, support in enumerate(model.supports) if support == "counts"]
    if counted := [i for i in counts if i not in few]:
        zero, p0 = trained.test.x, _zeros(trained)
        for i in counted:
            seen = ~zero[:, i].isnan()
            excess = (zero[seen, i] == 0).double() - p0[seen, i]
            found[i] = 0.0, estimate(excess), p0[seen, i].mean().item()
    return found


def _zeros(trained: TrainedModel) -> Tensor:
    """P(xᵢ = 0|z), z ~ q(z|x), of held-out rows, (n, D)."""

    def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        p = trained.model.likelihood(trained.model.posterior(x, context).sample(), context)
        return {"zero": element_log_probs(p, torch.zeros_like(x)).exp().double()}

    return trained.columns(trained.test, of)["zero"]


def inflated(trained: TrainedModel) -> list[int]:
    """The columns in which one number is far more frequent than its family lets it be."""
    return [i for i, each in frequent(trained).items() if surely_above(each[1], INFLATED)]


def inflated_values(trained: TrainedModel) -> Measured:
    """These columns, and that in which the number is most frequent."""
    model, shares, found = modelled(trained), frequent(trained), inflated(trained)
    if not shares:
        raise NotChecked("no-numbers")
    worst = max(found or shares, key=lambda i: shares[i][1].value)
    value, excess, told = shares[worst]
    form = "of-counts" if model.supports[worst] == "counts" else ""
    return Measured(
        form if found else None,
        inflated=len(found),
        column=model.names[worst],
        family=model.families[worst],
        value=value,
        share=excess.value + told,
        told=told,
        others=_others([model.names[i] for i in found if i != worst]),
    )


def heavy_tails(trained: TrainedModel) -> Measured:
    """Columns whose errors, over the σ of a Gaussian, are better told by Student's t.

    The mean over rows of log t(r; s, ν) − log N(r; 0, E r²), at the best s and ν of `DEGREES`.
    """
    model, data = modelled(trained), trained.test if trained.train is None else trained.train
    normal = [i for i, family in enumerate(model.families) if family == "Gaussian"]
    if not normal:
        raise NotChecked("no-gaussian")
    expect_settled(trained)
    others = {*levels(trained), *inflated(trained)}

    def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        p = trained.model.likelihood(trained.model.posterior(x, context).sample(), context)
        errors = torch.full_like(x, math.nan)
        for each, group in _fields(p):
            if isinstance(each, Normal):
                errors[:, group] = (x[:, group] - each.mean) / each.stddev
        return {"errors": errors}

    errors = trained.columns(data, of)["errors"].double()
    gains = {}
    for i in normal:
        seen = errors[~errors[:, i].isnan(), i]
        if i not in others and len(seen) > 1 and seen.std() > 0:
            gains[i] = gain_of_tails(seen)
    if not gains:
        raise NotChecked("no-numbers")
    found = [i for i, gain in gains.items() if surely_above(gain, HEAVY)]
    worst = max(found or gains, key=lambda i: gains[i].value)
    return Measured(
        "" if found else None,
        heavy=len(found),
        column=model.names[worst],
        gain=gains[worst],
        others=_others([model.names[i] for i in found if i != worst]),
        errors=errors[~errors[:, worst].isnan(), worst],
    )


def gain_of_tails(r: Tensor) -> Estimate:
    """Nats that the best of Student's t tells errors r, (n,), better than the best N(0, σ²)."""
    normal = -0.5 * (r**2 / r.square().mean() + r.square().mean().log() + math.log(2 * math.pi))
    best = Estimate(-math.inf, 0.0)
    for nu in DEGREES:
        square = r.abs().median().clamp(min=1e-12) ** 2
        for _ in range(STEPS):  # of expectation-maximisation: weights, then the scale
            square = ((nu + 1) / (nu + r**2 / square) * r**2).mean()
        t = torch.distributions.StudentT(nu, 0.0, square.sqrt()).log_prob(r)
        best = max(best, estimate(t - normal), key=lambda each: each.value)
    return best


def _fields(p: Distribution) -> list[tuple[Distribution, list[int]]]:
    """The elementwise distributions of a row, each with its columns."""
    if isinstance(p, Joint):
        pairs = zip(p.fields, p.columns, strict=True)
        return [(getattr(field, "base_dist", field), group) for field, group in pairs]
    return [(p.base_dist, list(range(p.event_shape[0])))]  # type: ignore[attr-defined]


@once
def told(trained: TrainedModel) -> tuple[Tensor, Tensor]:
    """−log p(xᵢ|z) of held-out rows at their own codes, and at those of other rows, (n, D) nats.

    The latter are −log (1/k) Σ p(xᵢ|zⱼ) over k of them, which is the column's marginal.  A
    conditional model is given other rows' context with their codes: what it tells, the codes need
    not.
    """
    data = subset(trained.held_out, trained.seed, WEIGHTED)

    def own(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        z = trained.model.posterior(x, context).sample()
        given = {} if context is None else {"context": context}
        return {"z": z, "own": -element_log_probs(trained.model.likelihood(z, context), x), **given}

    found = trained.columns(data, own)
    done = 0

    def others(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        nonlocal done
        rows = (torch.arange(done, done + len(x)) + moves[:, None]) % len(data)
        done += len(x)
        z, theirs = (
            found[name][rows].to(x) if name in found else None for name in ("z", "context")
        )
        log_p = element_log_probs(trained.model.likelihood(z, theirs), x).double()
        return {"others": math.log(len(moves)) - log_p.logsumexp(0)}

    moves = 1 + torch.randperm(len(data) - 1)[:OTHERS]
    of_others = trained.columns(data, others, len(moves))
    return found["own"].double(), of_others["others"]


def ignored_columns(trained: TrainedModel) -> Measured:
    """Columns that hang together with others, and of which the code says nothing."""
    model = modelled(trained)
    expect_settled(trained)
    if trained.is_autoencoder or trained.kl.value < VANISHED:
        raise NotChecked("no-code")
    own, others = told(trained)
    data = subset(known(trained), trained.seed)
    found = associations(data.x.double().numpy(), coded(data))
    strength = torch.from_numpy(found).abs().nan_to_num(0.0).fill_diagonal_(0.0)
    strongest, partner = strength.max(1)
    seen = ~subset(trained.held_out, trained.seed, WEIGHTED).x.isnan()
    said = {
        i: estimate((others - own)[seen[:, i], i])
        for i in range(len(model.names))
        if seen[:, i].sum() > 1
    }
    if not said:
        raise NotChecked("no-numbers")
    silent = [
        i
        for i in said
        if strongest[i] > HANGS_TOGETHER and (others - own)[seen[:, i], i].abs().mean() < IGNORED
    ]
    least = min(said, key=lambda i: said[i].value)
    worst = max(silent, key=lambda i: strongest[i].item(), default=least)
    return Measured(
        "" if silent else None,
        ignored=len(silent),
        column=model.names[worst],
        said=said[worst],
        partner=model.names[int(partner[worst])],
        strength=strongest[worst].item(),
        others=_others([model.names[i] for i in silent if i != worst]),
        nats={model.names[i]: nats.value for i, nats in said.items()},
    )


def _others(names: list[str]) -> str:
    """What else is so, after one that was named.

    >>> _others(["b"]), _others([])
    ('; so it is with b', '')
    """
    return f"; so it is with {several(names)}" if names else ""


def several(names: list[str]) -> str:
    """The first few, and how many more.

    >>> several(["a", "b"]), several(list("abcdefgh"))
    ('a, b', 'a, b, c, d, e and 3 more')
    """
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
