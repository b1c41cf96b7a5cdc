"""The context of examples to draw: classes, or covariates that are told, read or drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.covariates import Covariates
from lowerbound.data import read
from lowerbound.data.cells import FALSE, TRUE, TRUTH, instant
from lowerbound.data.columns import quoted
from lowerbound.data.schema import Field, Schema
from lowerbound.errors import ConfigurationError, DataError, near
from lowerbound.runs.run import Run, column_fields
from lowerbound.streams import Stream, generator


def context_of(
    run: Run,
    n: int | None,
    label: str | None = None,
    given: Sequence[str] = (),
    rows: str | None = None,
    seed: int = 0,
) -> Tensor | None:
    """The context of n examples to draw; None for a model that is not conditional.

    Of labels, the class ``label`` or all in turn, see `Run.labels`.  Of covariates those of all,
    told as "sex=male,age=40"; or those in the file ``rows``, in turn; or those of training rows
    drawn at random.

    Raises:
        ConfigurationError: what does not go with the model, or a value that is none of its columns.
        DataError: the file, or the training data, cannot be read.
    """
    context = run.model.context
    if not isinstance(context, Covariates):
        if given or rows:
            raise ConfigurationError(
                "expected no --given, as the model was trained without; leave it out"
            )
        return run.labels(n or 1, label)
    if label is not None or (given and rows):
        raise ConfigurationError(
            f"expected one of --given and --given-from for {context.what}, got "
            f"{'--label' if label is not None else 'both'}; leave the other out"
        )
    if given:
        return context.numbers(told(run, given)).expand(n or 1, -1)
    if rows is not None:
        kinds = {
            name: kind for name, kind in run.description.kinds.items() if name in context.columns
        }
        with run.reading():  # which other columns there are is no news
            found = context.numbers(read(rows, columns=context.columns, kinds=kinds))
        return found if n is None else found[torch.arange(n) % len(found)]
    try:
        known = run.data("train").given
    except DataError as error:
        raise DataError(f"{error}; or say what is given with --given") from None
    assert known is not None
    return drawn_rows(known.x, n or 1, seed)


def drawn_rows(rows: Tensor, n: int, seed: int) -> Tensor:
    """n of ``rows`` at random, one as often as may be."""
    return rows[torch.randint(len(rows), (n,), generator=generator(seed, Stream.SUBSET))]


def told(run: Run, given: Sequence[str]) -> dict[str, Any]:
    """The value of each covariate from texts such as "sex=male,age=40"."""
    fields = {field.name: field for field in given_fields(run)}
    known = "|".join(map(re.escape, sorted(fields, key=len, reverse=True)))
    between, told = re.compile(rf",(?=\s*(?:{known})\s*=)"), re.compile(rf"\s*({known})\s*=(.*)")
    values: dict[str, Any] = {}
    for pair in (pair for text in given for pair in between.split(text)):
        found = told.fullmatch(pair)
        name, text = found.groups() if found else ("", "")
        if not found or name in values:
            raise ConfigurationError(
                f"expected --given as {','.join(f'{name}=…' for name in fields)}, each once, got "
                f"{pair!r}"
            )
        values[name] = _value(fields[name], text.strip())
    if left := [name for name in fields if name not in values]:
        raise ConfigurationError(
            f"expected a value of each of {quoted([*fields])}, got none of {left[0]!r}; add "
            f"--given {left[0]}=…"
        )
    return values


def _value(field: Field, text: str) -> Any:
    """A cell as Arrow takes it; nothing where it is empty."""
    if text and field.categories and text not in field.categories:
        raise ConfigurationError(
            f"expected a category of {field.name!r}, got {text!r}; correct --given: "
            f"{near(text, field.categories)}"
        )
    if not text or field.categories:
        return text or None
    try:
        if "%" in field.form:
            return instant(text, field.form)
        if text in TRUE or text in FALSE:
            return float(text in TRUE)
        if field.form not in TRUTH:
            return float(text)
    except ValueError:
        pass
    wanted = f"a date as {field.form}" if "%" in field.form else "a number"
    raise ConfigurationError(
        f"expected {'True or False' if field.form in TRUTH else wanted} for {field.name!r}, got "
        f"{text!r}; correct --given"
    )


def given_fields(run: Run) -> Schema:
    """The columns of the covariates that the model is given."""
    context = run.model.context
    assert isinstance(context, Covariates)
    forms = run.description.forms if run.is_described else {}
    return column_fields(context.columns, dict(enumerate(context.categories)), forms)


def columns_beside(run: Run, context: Tensor | None) -> dict[str, Any]:
    """What to write beside examples of this ``context``: columns by their names."""
    if context is None:
        return {}
    if isinstance(run.model.context, Covariates):
        columns = zip(given_fields(run), context.cpu().unbind(1), strict=True)
        return {field.name: field.column(values) for field, values in columns}
    names = getattr(run.model.context, "names", None)
    return {} if names is None else {run.label or "label": np.asarray(names)[context.cpu().numpy()]}
