"""A run → a folder for a model hub: the model as it is saved, and a card of its own figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowerbound import storage
from lowerbound.covariates import Covariates
from lowerbound.evaluation import Evaluation
from lowerbound.evaluation.bounds import without
from lowerbound.evaluation.walk import Progress
from lowerbound.files import SEAL, new_folder, write_atomic
from lowerbound.pages import render
from lowerbound.runs import Run
from lowerbound.vae import VAE

if TYPE_CHECKING:
    from lowerbound.report.outcome import Outcome

OWN = {"format", "versions", "model", "weights", SEAL}
"""What `storage.save` itself writes of a model."""


def to_hub(
    run: Run,
    folder: str | Path,
    *,
    data: str | None = None,
    labels: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """The model of ``run`` in a new ``folder`` for a model hub; `load` loads it from there.

    Beside the model, as `save` writes it, is a card, README.md: what was trained on what, by which
    command, its figures on held-out data with standard errors, their limits and, of images,
    pictures.  A run that was not evaluated yet is evaluated first.  The licence is left to be said.

    Args:
        run: a finished one, or a model with ``data``.
        folder: a new one, or an empty one.
        data: other data to judge it on than the run's own test split.
        labels: with ``data``, the column or array of its class labels.
        progress: called with the examples evaluated and their number.

    Raises:
        StorageError: there is no finished run, or ``folder`` is not empty or cannot be written to.
        DataError: the data are not to be found, have changed, or are not such as the model takes.
        MissingExtra: what pages and pictures need is not installed.
    """
    from lowerbound.report.build import evaluated  # which needs matplotlib
    from lowerbound.report.outcome import Outcome

    with new_folder(Path(folder)) as made:
        model, test = run.model, run.examples("test", data, labels)
        found = evaluated(run, test, data, progress)
        known = {name: value for name, value in run.information.items() if name not in OWN}
        storage.save(model, made, **known)
        outcome = Outcome(model, test, found, run.history, objective=run.objective)
        pictures = _pictures(outcome)
        for name, (_, png) in pictures.items():
            write_atomic(made / name, png)
        card = render(
            "card.md",
            title=run.title,
            outcome=outcome,
            model=model,
            covariates=_covariates(model),
            run=run.description if run.is_described else None,
            data=test.summary() if data is not None else run.description.data_summary,
            judged=test.summary(),
            parameters=f"{sum(p.numel() for p in model.parameters()):,}",
            parts={
                name: type(getattr(model, name)).__name__
                for name in ("transform", "prior", "posterior", "likelihood")
            },
            figures=_figures(found, outcome.noun),
            left_out=without(found.left_out) if found.left_out else "",
            versions=run.information["versions"],
            pictures={name: caption for name, (caption, _) in pictures.items()},
        )
        write_atomic(made / "README.md", card.encode())
    return Path(folder)


def _covariates(model: VAE) -> dict[str, list[str]]:
    """The columns that the model is given, with the first of their categories."""
    if not isinstance(context := model.context, Covariates):
        return {}
    categories = zip(context.columns, context.categories, strict=True)
    return {name: [*names[:20], *["…"] * (len(names) > 20)] for name, names in categories}


def _figures(found: Evaluation, noun: str) -> list[tuple[str, str, str]]:
    """Name, value with its standard error, and meaning of each figure."""
    from lowerbound.report.build import QUANTITIES

    figures: dict[str, Any] = vars(found)
    words = {"what": noun, "samples": found.samples}
    return [
        (
            row.name.format(**words),
            f"{figures[row.key]:.{row.digits}f} {row.unit.format(**words)}".replace("-", "−"),
            row.meaning,
        )
        for row in QUANTITIES
        if figures[row.key] is not None
    ]


def _pictures(outcome: Outcome) -> dict[str, tuple[str, bytes]]:
    """Of images: a caption and a PNG for each file."""
    from lowerbound.report.build import picture
    from lowerbound.report.images import reconstructions, samples

    if not outcome.is_image:
        return {}
    return {
        "reconstructions.png": (
            "Test images above their reconstructions",
            picture(reconstructions(outcome))[0],
        ),
        "samples.png": ("Images from the model, z drawn from p(z)", picture(samples(outcome))[0]),
    }
