"""What can be asked of the model of a run, on plain arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from functools import cached_property
from threading import RLock
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

import lowerbound
from lowerbound.context import Labels
from lowerbound.covariates import Covariates
from lowerbound.data import Dataset
from lowerbound.data.assembly import assemble, to_array
from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Raw, real_numbers
from lowerbound.data.records import from_records, to_records
from lowerbound.errors import ConfigurationError, LowerboundError, ShapeError, shown
from lowerbound.evaluation.bounds import measures
from lowerbound.evaluation.walk import Progress, batch_size, expect_finite
from lowerbound.logs import log
from lowerbound.outliers import Measures, default
from lowerbound.outliers.detection import Calibration
from lowerbound.outliers.scores import score
from lowerbound.runs import Run
from lowerbound.runs.given import drawn_rows, given_fields

RowCall = Literal["embed", "reconstruct", "decode"]
SAMPLES = 100
"""Draws z ~ q(z|x) for the bounds of each example."""


class Calls:
    """What can be asked of the model of a ``run``; calls from several threads take turns.

    Examples x are an array or lists, (n, *shape), in the units of the run's data, NaN or None where
    a cell of a table is missing, and categories and tokens by their codes; of a table with named
    columns also records, see `data.records`.  Labels, which a conditional model needs, are the
    names of classes, by their value where these are numbers, or else their places 0…K−1; or
    records of its covariates.  A record x may hold its own.

    Args:
        run: whose model is asked.
        progress: called with the examples done and their number, while held-out ones are scored.

    Raises:
        LowerboundError: by each call, of what it was given; `DataError`, mostly.
    """

    def __init__(self, run: Run, progress: Progress | None = None) -> None:
        self.run, self.model = run, run.model.eval()
        self._progress, self._lock = progress, RLock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Within, no other thread asks the model, and nothing has gradients."""
        with self._lock, torch.no_grad():
            yield

    def embed(self, x: Any, labels: Any = None) -> np.ndarray:
        """E_q z, the posterior's mean of each x, (n, latent)."""
        data = self.read(x, labels)
        return self.by_rows("embed", data.x, data.context)

    def reconstruct(self, x: Any, labels: Any = None) -> np.ndarray:
        """The decoder's mean at the posterior's mean of each x, (n, *shape), in data units."""
        data = self.read(x, labels)
        return self.by_rows("reconstruct", data.x, data.context)

    def decode(self, z: Any, labels: Any = None) -> np.ndarray:
        """The mean of p(x|z) for codes z, (n, latent), in the data's units: (n, *shape)."""
        codes = self.codes(z)
        return self.by_rows("decode", codes, self.labels(labels, len(codes)))

    def by_rows(self, call: RowCall, given: Tensor, labels: Tensor | None) -> np.ndarray:
        """The answer of a call to x or z, as `read` and `codes` check them.

        That to each row depends on no other, but for the rounding of products of matrices.
        """
        step, parts = batch_size(self.model), []
        with self.turn():
            for start in range(0, len(given), step):
                here = slice(start, start + step)
                own = None if labels is None else labels[here]
                parts.append(getattr(self.model, call)(given[here], own).cpu())
        answer = torch.cat(parts)
        if call == "embed":
            expect_finite({"z": answer}, "codes")
        return answer.numpy()

    def sample(
        self, n: int, labels: Any = None, seed: int = 0, *, mean: bool = False
    ) -> np.ndarray:
        """x ~ p(x|z), z ~ p(z), or with ``mean`` the decoder's mean at z; (n, *shape).

        They follow from the arguments alone.  Without ``labels`` a conditional model draws all
        classes in turn, or given the covariates of training rows that are drawn.
        """
        return self.drawn(n, self.drawn_for(n, labels, seed), seed, mean=mean)

    def drawn(self, n: int, given: Tensor | None, seed: int, *, mean: bool) -> np.ndarray:
        """The answer of `sample` to what `drawn_for` checked."""
        with self.turn():
            return self.model.sample(n, given, seed=seed, mean=mean).cpu().numpy()

    def drawn_for(self, n: int, labels: Any, seed: int) -> Tensor | None:
        """What n examples that are drawn are given, see `sample`."""
        if labels is not None or not isinstance(self.model.context, Covariates):
            return self.run.labels(n) if labels is None else self.labels(labels, n)
        if self.covariates is None:
            raise ConfigurationError(
                f"expected {self.model.context.what} of each of {n:,} examples, as the training "
                "rows to draw them from are not at hand, got none"
            )
        return drawn_rows(self.covariates, n, seed)

    @cached_property
    def covariates(self) -> Tensor | None:
        """Those of the training rows; None of another model, or where the rows cannot be had."""
        if not isinstance(self.model.context, Covariates):
            return None
        with self.turn():
            try:
                known = self.run.training_data()
            except LowerboundError as error:
                log.info("covariates are not drawn: %s", error)
                return None
            return known.given.x if known and known.given else None

    def score(self, x: Any, labels: Any = None) -> dict[str, np.ndarray]:
        """Bounds on log p(x) and how strange x is, (n,) each, by name.

        These are reconstruction, and of a posterior with a density kl, elbo and
        importance_weighted, nats, as `evaluation.example_scores` has them; the outlier ``score``
        that `outliers.default` names; and its ``p_value`` against the run's held-out examples, if
        there are any.  `describe` tells what is bounded.
        """
        data = self.read(x, labels)
        name = default(self.model)
        with self.turn():
            against = self.calibration
            given = Measures(self.model, data, SAMPLES)
            scores = score(name, given, given if against is None else against.train)
            bounds = ("reconstruction", "kl", "elbo", "importance_weighted")
            found = {bound: given.bounds[bound] for bound in bounds if bound in given.bounds}
            found["score"] = scores
            if against is not None:
                found["p_value"] = against.p_values(name, given)
        return {name: values.numpy() for name, values in found.items()}

    @cached_property
    def calibration(self) -> Calibration | None:
        """What scores are compared with; None where the run's held-out data cannot be had.

        Measured when it is first asked for.
        """
        with self.turn():
            try:
                inliers, train = self.run.held_out(), self.run.training_data()
            except LowerboundError as error:
                log.info("scores have no p-values: %s", error)
                return None
            how: Any = {"samples": SAMPLES, "progress": self._progress}
            against = Calibration.of(self.model, inliers, train, **how)
            score(default(self.model), against.inliers, against.train)  # measured now
            return against

    def describe(self) -> dict[str, Any]:
        """What data the model takes, what it is made of, and its figures, for JSON."""
        run, model, context = self.run, self.model, self.model.context
        known = run.description if run.is_described else None
        values = known and known.values
        parts = ("prior", "posterior", "likelihood", "transform", "context")
        return {
            "title": run.title,
            "data": known and known.data_summary,
            "shape": list(model.shape),
            "kind": values and values.kind,
            "scale": values and values.scale,
            "columns": None
            if run.fields is None
            else [
                {
                    "name": field.name,
                    "kind": (known.kinds if known else {}).get(field.name, field.kind),
                    "form": field.form,
                    "categories": field.categories,
                }
                for field in run.fields
            ],
            "vocabulary": getattr(model.likelihood, "vocabulary", None),
            "classes": self.classes,
            "label": run.label,
            "given": context.columns if isinstance(context, Covariates) else None,
            "latent_dim": model.latent_dim,
            "parts": {
                part: type(made).__name__
                for part in parts
                if (made := getattr(model, part)) is not None
            },
            "score": {"name": default(model), "bounds": measures(model), "samples": SAMPLES},
            "figures": (figures := run.evaluation) and figures.as_dict(),
            "version": lowerbound.__version__,
        }

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes of a conditional model, where they have names."""
        context = self.model.context
        return context.names if isinstance(context, Labels) else None

    def read(self, x: Any, labels: Any = None) -> Dataset:
        """Examples x, checked, as a data set; one as it is."""
        if isinstance(x, Dataset):
            return x
        fields, missing = self.run.fields, getattr(self.model.likelihood, "takes_missing", False)
        if isinstance(x, list | tuple) and x and isinstance(x[0], Mapping):
            if fields is None:
                raise ConfigurationError(
                    "x: expected an array of numbers, as the model's columns have no names, got "
                    "records"
                )
            kinds = self.run.description.kinds if self.run.is_described else None
            raw, label = from_records(x, fields, "x", kinds), self.run.label
            if labels is None:
                labels = self._own_context(x, label)
        else:
            named = tuple(field.name for field in fields or ()) or None
            categories = {f.name: f.categories for f in fields or () if f.categories}
            array = real_numbers(to_array(x, "x"), "x")
            if named and array.shape[1:] != (len(named),):
                raise ShapeError(f"expected x of shape {('n', len(named))}, got {array.shape}")
            raw = Raw(array, "x", columns=named, categories=categories)
        data = assemble({"all": raw}, "x", "x", missing=missing, named=True)["all"]
        if isinstance(self.model.context, Covariates):
            data = replace(data, given=self._covariates(labels, len(data)))
        else:
            data = replace(data, labels=self.labels(labels, len(data)), classes=self.classes)
        return self.run.expect(data, "x")

    def _own_context(self, x: Sequence[Any], label: str | None) -> Any:
        """What records hold themselves of what a conditional model needs."""
        context = self.model.context
        names = context.columns if isinstance(context, Covariates) else (label,)
        if context is None or not all(name in record for name in names for record in x):
            return None
        return x if isinstance(context, Covariates) else [record[label] for record in x]

    def _covariates(self, given: Any, n: int) -> Dataset:
        """Covariates of n examples, checked, by their records."""
        fields = given_fields(self.run)
        if not isinstance(given, list | tuple) or len(given) != n:
            got = f"{len(given):,}" if isinstance(given, list | tuple) else shown(given)
            raise ConfigurationError(
                f"expected the covariates {quoted([field.name for field in fields])} of each of "
                f"{n:,} examples, as records, got {got}"
            )
        kinds = self.run.description.kinds if self.run.is_described else {}
        told = {field.name: kinds[field.name] for field in fields if field.name in kinds}
        raw = from_records(given, fields, "given", told)
        return assemble({"all": raw}, "given", "given", missing=True, named=True)["all"]

    def codes(self, z: Any) -> Tensor:
        """Codes z, (n, latent), checked, as float64."""
        array = real_numbers(to_array(z, "z"), "z")
        if array.ndim != 2 or array.shape[1] != self.model.latent_dim or not len(array):
            raise ShapeError(
                f"expected codes z of shape {('n', self.model.latent_dim)}, got {array.shape}"
            )
        codes = torch.from_numpy(array.astype(np.float64))
        expect_finite({"z": codes}, "codes")
        return codes

    def labels(self, labels: Any, n: int) -> Tensor | None:
        """What n examples are given, checked: class numbers, or rows of covariates."""
        context = self.model.context
        if isinstance(context, Covariates):
            numbers: Tensor = context.numbers(self._covariates(labels, n))
            return numbers
        if context is None and labels is not None:
            raise ConfigurationError(
                "expected no labels, as this model is not conditional, got some; leave them out"
            )
        if context is None:
            return None
        if labels is None:
            raise ConfigurationError(
                f"expected {n:,} labels, one for each example, as this model is conditional, got "
                "none"
            )
        if isinstance(labels, list | tuple) and len(labels) != n:
            raise ShapeError(
                f"expected class labels of shape {(n,)}, one for each example, got {(len(labels),)}"
            )
        if isinstance(context, Labels):
            found = torch.as_tensor(context.numbers(_named(labels, context.names)))
        else:
            found = torch.from_numpy(real_numbers(to_array(labels, "labels"), "labels"))
        self.model.features(found, n)
        return found

    def records(self, x: np.ndarray) -> list[dict[str, Any]] | None:
        """Rows x, (n, D), as `read` takes them too; None where columns have no names."""
        fields = self.run.fields
        return None if fields is None else to_records(torch.from_numpy(x), fields)


def _named(labels: Any, names: Sequence[str]) -> Any:
    """``labels`` as names of classes where some of these are numbers: by their value."""
    valued = [(value, name) for name in names if (value := _value(name)) is not None]
    if not valued:
        return labels
    by_value: dict[Decimal | None, str] = dict(valued)
    if len(by_value) < len(valued):  # of 7 and 007, which differ as text alone
        by_value = {}
    given = to_array(labels, "labels").ravel().tolist()
    return [
        name if (name := str(label)) in names else by_value.get(_value(label), name)
        for label in given
    ]


def _value(label: Any) -> Decimal | None:
    try:
        value = Decimal(str(label))
    except (InvalidOperation, ValueError):  # such as of a number of very many digits
        return None
    return value if value.is_finite() else None
