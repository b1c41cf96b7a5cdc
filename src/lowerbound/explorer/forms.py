"""How an example is sent to the page: pixels, a row of a table, tokens of a melody, or words."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.data.schema import Field
from lowerbound.distributions.fields import Joint, Nominal
from lowerbound.music import VOCABULARY
from lowerbound.music.windows import BAR
from lowerbound.runs import Run
from lowerbound.vae import VAE

COLUMNS = 200
"""Of a row that are shown."""

RANGED = 5000
"""Rows that tell the range of a column, or up to twice as many."""


class Form(ABC):
    """One kind of examples; ``about`` is what the page must know of them."""

    nouns: str
    about: dict[str, Any]

    @abstractmethod
    def of_values(self, values: Tensor) -> bytes:
        """An example (1, *shape) in the data's units."""

    def of_code(self, model: VAE, z: Tensor, context: Tensor | None) -> bytes:
        """What a code (1, latent) decodes to."""
        return self.of_values(model.decode(z, context).cpu())


class Pixels(Form):
    """Levels 0–255, row by row, the channels of a pixel together."""

    nouns = "images"

    def __init__(self, run: Run, data: Dataset | None) -> None:
        self.low, self.high = value_range(run, data)
        self.about = {"kind": "image", "shape": list(run.model.shape)}

    def of_values(self, values: Tensor) -> bytes:
        share = (values[0].double() - self.low) / (self.high - self.low)
        levels = (255 * share.nan_to_num().clamp(0, 1)).round().to(torch.uint8)
        return levels.movedim(0, -1).contiguous().numpy().tobytes()


class Row(Form):
    """JSON: each column's text, place in the data's range, and categories' probabilities."""

    nouns = "rows"

    def __init__(self, run: Run, data: Dataset | None) -> None:
        size = int(np.prod(run.model.shape))
        self.fields = run.fields or tuple(Field(f"x[{i}]", "real") for i in range(size))
        self.shown = min(size, COLUMNS)
        self.low, self.span = np.zeros(size), np.zeros(size)
        if data is not None:
            some = data.x[:: max(1, len(data) // RANGED)].flatten(1).double().numpy()
            self.low, high = np.nanquantile(some, (0.01, 0.99), axis=0)
            self.span = high - self.low
        self.about = {
            "kind": "row",
            "columns": [field.name for field in self.fields[: self.shown]],
            "categories": [field.categories for field in self.fields[: self.shown]],
            "more": f"The first {self.shown} of {size:,} columns." if self.shown < size else "",
        }

    def of_values(self, values: Tensor, shares: dict[int, list[float]] | None = None) -> bytes:
        row = values.flatten(1).double()
        told = []
        for i, field in enumerate(self.fields[: self.shown]):
            value, at = row[0, i].item(), None
            if self.span[i] > 0 and not field.categories and np.isfinite(value):
                at = round(min(1.0, max(0.0, (value - self.low[i]) / self.span[i])), 4)
            share = (shares or {}).get(i) if field.categories else None
            told.append({"text": _text(field, row[:, i]), "at": at, "shares": share})
        return json.dumps(told, allow_nan=False).encode()

    def of_code(self, model: VAE, z: Tensor, context: Tensor | None) -> bytes:
        p = model.likelihood_at(z, context)
        return self.of_values(model.transform.inverse(p.mean).cpu(), _shares(p))


class Roll(Form):
    """The tokens of a melody, a byte each."""

    nouns = "melodies"

    def __init__(self, run: Run, data: Dataset | None) -> None:
        self.about = {"kind": "melody", "shape": list(run.model.shape), "bar": BAR[run.metre]}

    def of_values(self, values: Tensor) -> bytes:
        return values[0].to(torch.uint8).numpy().tobytes()


class Words(Form):
    """The names of tokens, as text."""

    nouns = "sequences"

    def __init__(self, run: Run, data: Dataset | None) -> None:
        self.names: tuple[str, ...] = run.model.likelihood.vocabulary  # type: ignore[assignment]
        self.about = {"kind": "text"}

    def of_values(self, values: Tensor) -> bytes:
        return " ".join(self.names[int(token)] for token in values[0].flatten()).encode()


def form_of(run: Run, data: Dataset | None) -> Form:
    """That of the run's examples."""
    shape, vocabulary = run.model.shape, getattr(run.model.likelihood, "vocabulary", ())
    if vocabulary:
        return (Roll if vocabulary == VOCABULARY else Words)(run, data)
    return (Pixels if len(shape) == 3 and shape[0] in (1, 3) else Row)(run, data)


def value_range(run: Run, data: Dataset | None) -> tuple[float, float]:
    """The values that are shown as black and white."""
    if data is not None and data.kind not in ("grey", "binary", "unit"):
        return float(data.x.min()), max(float(data.x.max()), float(data.x.min()) + 1e-9)
    if data is not None:
        return 0.0, data.scale
    values = run.description.values if run.is_described else None
    return 0.0, 1.0 if values is None else values.scale


def _text(field: Field, value: Tensor) -> str:
    """A cell for people: words and dates as the data have them, numbers with four digits."""
    if field.categories or field.form not in ("", "whole"):
        return field.texts(value)[0]
    if not value.isfinite():
        return ""
    text = field.texts(value)[0] if field.form else plain(value.item())
    return text.replace("-", "−")


def plain(value: float) -> str:
    """A number with four digits, or all those before its point.

    >>> [plain(value) for value in (123456.7, 98.765, -0.00001234, 1e-9)]
    ['123457', '98.77', '-0.00001234', '1e-9']
    """
    digits, power = map(float, f"{value:.3e}".split("e"))
    if not -7 < power < 15:
        return f"{digits:g}e{power:.0f}"
    places = max(0, 3 - int(power))
    text = f"{Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0:f}"
    return text.rstrip("0").rstrip(".") if places else text


def _shares(p: Any) -> dict[int, list[float]]:
    """The probabilities of the categories of each column that has them, by its number."""
    found: dict[int, list[float]] = {}
    for of_group, group in zip(getattr(p, "fields", ()), getattr(p, "columns", ()), strict=True):
        base = of_group.base_dist
        if isinstance(p, Joint) and isinstance(base, Nominal):
            rows = base.logits[0].softmax(-1).tolist()
            found |= {
                j: [round(value, 4) for value in row] for j, row in zip(group, rows, strict=True)
            }
    return found
