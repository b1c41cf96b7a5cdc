"""What each finding of a diagnosis looks like, drawn from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lowerbound.plots import agreement, curves, kl_per_dimension, ranked_bars, score_histograms

Measured = Mapping[str, Any]


def _bars(values: Mapping[str, float], ylabel: str, xlabel: str = "") -> Figure:
    heights = np.array(list(values.values()), float)
    return ranked_bars(heights, list(values), ylabel=ylabel, xlabel=xlabel)


def _beside(yours: float, right: float, ylabel: str) -> Figure:
    return _bars({"yours": yours, "right": right}, ylabel)


def _lost_by_sigma(m: Measured) -> Figure:
    """D (½ ((σ*/σ)² − 1) + log σ/σ*) nats over σ."""
    sigma, best = m["sigma"], m["best"]
    sigmas = np.geomspace(min(sigma, best) / 1.3, max(sigma, best) * 1.3, 100)
    lost = m["elements"] * (0.5 * ((best / sigmas) ** 2 - 1) + np.log(sigmas / best))
    xlabel = f"σ (the model's {sigma:.3g}; the best {best:.3g})"
    return curves(sigmas, {"lost by σ": lost}, xlabel=xlabel, ylabel=m["nats"], logx=True)


def _betas(m: Measured) -> Figure:
    bars = {
        f"{by},\n{name}": beta for name, both in m["readings"].items() for by, beta in both.items()
    }
    return _bars(bars | {"the\nobjective": m["wanted"]}, "β by the encoder's derivatives")


def _over_samples(m: Measured) -> Figure:
    k, bounds = np.array(list(m["curve"].items())).T
    xlabel = "importance samples"
    return curves(k, {"bound": bounds}, xlabel=xlabel, ylabel=m["nats"], logx=True)


def _largest(values: Any, most: int = 3) -> list[tuple[float, int]]:
    return list(zip(*(each.tolist() for each in values.topk(min(most, len(values)))), strict=True))


def _function(m: Measured) -> Figure:
    return curves(m["x"], m["lines"], xlabel=m["xlabel"], ylabel="nats")


def _draws(x: Any, lines: Mapping[str, Any]) -> Figure:
    ylabel = "standard deviation of draws from q(z|x)"
    return curves(x, lines, xlabel="σ that q(z|x) states", ylabel=ylabel)


def _copies(m: Measured, first: str, second: str) -> Figure:
    x, y = (np.asarray(each) for each in m["values"])
    return agreement({"standardised": (x, y)}, xlabel=first, ylabel=second)


def _normal(errors: Any) -> Any:
    """As many quantiles of N(0, 1)."""
    return np.sqrt(2) * errors.new_tensor(np.linspace(-1, 1, len(errors) + 2)[1:-1]).erfinv()


PICTURES: dict[str, Callable[[Measured], Figure]] = {
    "shapes": lambda m: (
        _bars(
            {"with codes": m["total"] - m["lost"], "without": m["lost"]}, f"{m['which']} examples"
        )
        if "lost" in m
        else _bars(
            {"takes": m["takes"], "is given": m["given"]} if "given" in m else {"passed": 0},
            "features",
        )
    ),
    "other-data": lambda m: score_histograms({m["heading"]: m["samples"]}, xlabel=m["xlabel"]),
    "repeated-rows": lambda m: _bars(
        {"in training too": 100 * m["share"].value, "by chance": 100 * m["chance"]},
        "% of held-out examples",
    ),
    "label-columns": lambda m: _copies(m, m["named"], "the labels"),
    "duplicate-columns": lambda m: _copies(m, *m["shown"]),
    "few-values": lambda m: _bars(m["times"], "training rows", f"values of {m['first']}"),
    "inflated-values": lambda m: _bars(
        {"in the data": 100 * m["share"], "by the model": 100 * m["told"]},
        f"% of rows in which {m['column']} is {m['value']:.6g}",
    ),
    "heavy-tails": lambda m: score_histograms(
        {
            f"errors of {m['column']}": {
                "over σ": m["errors"],
                "of a Gaussian": _normal(m["errors"]),
            }
        },
        xlabel="standard deviations",
    ),
    "ignored-columns": lambda m: _bars(
        dict(sorted(m["nats"].items(), key=lambda item: item[1])[:8]),
        "nats that the code says",
        "the columns of which it says least",
    ),
    "labels": lambda m: _bars(
        {"training": m["known"].value, "held out": m["new"].value}, "nats that another label costs"
    ),
    "collapsed-dimensions": lambda m: kl_per_dimension(
        m["height"], active=m["active"], criterion=m["criterion"], unit=m["height_unit"]
    ),
    "vanishing-kl": lambda m: curves(
        m["epoch"],
        {"KL": m["course"], f"{m['vanished']} nats": np.full(m["epochs"], m["vanished"])},
        xlabel="epoch",
        ylabel=m["nats"],
    ),
    "holes": lambda m: score_histograms(
        {"log q(z) − log p(z), as fitted to other codes": m["log_ratios"]}, xlabel="nats"
    ),
    "decoder-noise": _lost_by_sigma,
    "likelihood": lambda m: (
        _bars(
            m["bits"],
            "held-out bits per dimension",
            "likelihood of small decoders on the same codes (less is better)",
        )
        if m["bits"]
        else _bars({"without density": 100 * m["share"]}, "% of elements of x")
    ),
    "reconstruction": lambda m: score_histograms(
        {"squared error of reconstructions": {"elements of x": m["ratios"]}},
        xlabel="over that of the mean",
    ),
    "clipped-heads": lambda m: score_histograms(
        {head: {"held out": outputs.flatten()} for head, outputs in m["outputs"].items()},
        xlabel="output of the encoder",
    ),
    "kl-weight": lambda m: (
        _bars({"of the prior": 1.0, "of q, the widest": m["widest"]}, "variance")
        if "widest" in m
        else _betas(m)
    ),
    "stated-variance": _betas,
    "bound-gap": _over_samples,
    "importance-samples": _over_samples,
    "overfitting": lambda m: score_histograms(
        {"ELBO of each example": m["elbo_of_each"]}, xlabel=m["nats"]
    ),
    "still-learning": lambda m: curves(
        m["epoch"], {"bound on training data": m["course"]}, xlabel="epoch", ylabel=m["nats"]
    ),
    "far-rows": lambda m: _bars(
        {f"{which}, {i}": v for which, each in m["of_each"].items() for v, i in _largest(each)},
        "distance from the median",
        "the furthest examples; 1 is that of nine in ten values",
    ),
    "reconstruction-formula": _function,
    "kl-formula": _function,
    "loss-unknown": lambda m: _beside(m["percent"], 0.0, "% of its spread unexplained"),
    "kl-unknown": lambda m: _beside(m["percent"], 0.0, "% of its spread unexplained"),
    "reconstruction-sign": lambda m: _beside(m["factor"], abs(m["factor"]), "factor"),
    "kl-sign": lambda m: _beside(m["factor"], abs(m["factor"]), "factor"),
    "reconstruction-missing": lambda m: _beside(0.0, 1.0, "weight of the reconstruction"),
    "kl-missing": lambda m: _beside(0.0, 1.0, "weight of the KL"),
    "loss-weight": lambda m: _beside(m["ratio"], m["beta"], "weight β of the KL"),
    "kl-factor": lambda m: _beside(m["factor"], 1.0, "factor"),
    "loss-constant": lambda m: _beside(m["constant"], 0.0, "nats where q is the prior"),
    "draws-deviation": lambda m: _draws(
        m["wanted"], {"yours": m["deviations"], "right": m["wanted"]}
    ),
    "draws-mean": lambda m: _draws(np.arange(len(m["means"])), {"yours": m["means"]}),
    "draws-gradient": lambda m: _draws(np.arange(2), {"reached": [1.0, m["reached"] - 1.0]}),
}
"""By the finding's name; each is given all that was measured."""
