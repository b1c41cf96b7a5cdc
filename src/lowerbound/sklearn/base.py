"""What the estimators share: parameters, training, and a state without pickled networks."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from lowerbound import storage
from lowerbound.data import Dataset, from_arrays
from lowerbound.data.kinds import told_kinds
from lowerbound.data.tables import is_frame
from lowerbound.errors import DataError, check_count
from lowerbound.recipes import table
from lowerbound.sklearn.frames import frame_of, library
from lowerbound.storage import MODEL_FILE
from lowerbound.streams import Stream, generator, seeded
from lowerbound.training import fit
from lowerbound.vae import VAE

VALIDATION = 0.1
BOUND: dict[str, Any] = {"objective": "IWAE", "objective.samples": 10}
"""Makes a better density than the ELBO does, whose q(z|x) is nearer to p(z|x)."""

SHARED = """\
    hidden: widths of the encoder's hidden layers; the decoder's are the same, reversed.
    likelihood: p(x|z), ``"auto"`` for what the recipe ``table`` takes for the kind of each
        column, or what `recipes.compose` takes.
    steps: of training, at the most, rounded up to whole passes over X.  A tenth of the rows is held
        out: where the bound on them, of a detector the mean of those that `Trimmed` takes, has not
        risen for 300 steps, or 10 passes if those are longer, training ends, and the best weights
        are kept.
    batch_size: rows in a step.
    learning_rate: of Adam.
    random_state: of the first weights, of what is held out, and of all noise.

Attributes:
    model_: the `VAE`, in float64; of the imputer ``models_``, a list of them.
    history_: the records of `fit`, one for each pass; of several models those of the last.
    n_features_in_: the columns of X.
    feature_names_in_: their names, where X is a frame whose names are all text."""


@dataclass(eq=False, repr=False)
class Estimator(BaseEstimator):  # type: ignore[misc]
    """An estimator with a VAE inside; its fields are scikit-learn's parameters."""

    latent_dim: int = 20
    _: KW_ONLY
    hidden: int | Sequence[int] = 64
    likelihood: Any = "auto"
    steps: int = 3000
    batch_size: int = 128
    learning_rate: float = 3e-3
    random_state: Any = None

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.__doc__:  # which ends with its own arguments
            cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n{SHARED}"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows ``X``; ``y`` is ignored."""
        self._fit(self._validated(X, reset=True))
        return self

    def _fit(
        self, X: Any, *, missing: bool = False, random_state: Any = None, **settings: Any
    ) -> None:
        """Train on X as it was validated, so as to take ``missing`` cells even if it has none.

        By ``random_state``, or else the estimator's own; ``settings`` are those of the recipe.
        """
        self._library = library(X)
        data = self._dataset(X, reset=True)
        self._example, self._kinds = data.take(1), told_kinds(data)[0]
        own = self.random_state if random_state is None else random_state
        seed = int(check_random_state(own).randint(2**31))
        self._train(replace(data, missing=data.missing or missing), seed, settings)

    def _given_back(self, x: Tensor) -> Any:
        """Rows x in the units of X, as X of `fit` came."""
        if self._library is None:
            return x.double().numpy()
        return frame_of(self._library, self._example.table(x))

    def _read(self, X: Any) -> Dataset:
        """X as a data set that the model takes, of the columns of X of `fit`."""
        check_is_fitted(self)
        data = self._dataset(self._validated(X))
        if data.missing and not hasattr(self.model_.likelihood, "takes_missing"):
            raise DataError(
                "X: expected no missing cells, as fit was given none, got some; fit on rows with "
                "missing cells, or fill them in first"
            )
        return data

    def _validated(self, X: Any, *, reset: bool = False) -> Any:
        """X as scikit-learn has it; ``reset`` in `fit`, whose columns later ones must have."""
        if is_frame(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        # One row is refused here, in scikit-learn's words.
        rows = {"ensure_min_samples": 2 if reset else 1}
        checks = {"dtype": np.float64, "ensure_all_finite": "allow-nan", **rows}
        return validate_data(self, X, reset=reset, **checks)

    def _dataset(self, X: Any, *, reset: bool = False) -> Dataset:
        if is_frame(X):
            # Labels of one class, so that no column is taken for them.
            kinds = None if reset else self._kinds
            data = from_arrays(X, np.zeros(len(X)), name="X", missing=True, kinds=kinds)
        else:
            data = from_arrays(X, name="X", missing=True)
        if reset and len(data) < 2:
            raise DataError("X: expected at least 2 rows, got 1")
        if reset and (empty := data.x.isnan().all(0)).any():
            raise DataError(
                f"X: expected at least one value in column {int(empty.int().argmax())} (counted "
                "from 0), got none; leave it out"
            )
        # That all values so far are in [0, 1] promises nothing of other rows.
        schema = tuple(replace(f, kind="real") if f.kind == "unit" else f for f in data.schema)
        return replace(data, labels=None, classes=None, labels_from=None, schema=schema)

    def _passes(self, steps: int, rows: int) -> int:
        """Over so many rows, of so many steps at least."""
        return -(-steps // -(-rows // check_count("rows", self.batch_size)))

    def _train(self, data: Dataset, seed: int, settings: dict[str, Any]) -> None:
        steps, size = check_count("steps", self.steps), check_count("rows", self.batch_size)
        order = torch.randperm(len(data), generator=generator(seed, Stream.SUBSET))
        held_out, kept = order.tensor_split([max(1, round(VALIDATION * len(data)))])
        with seeded(torch.device("cpu"), seed, Stream.FIRST):
            experiment = table(
                data,
                latent_dim=check_count("latent dimensions", self.latent_dim),
                hidden=self.hidden,
                likelihood=self.likelihood,
                epochs=self._passes(steps, len(kept)),
                batch_size=size,
                learning_rate=self.learning_rate,
                seed=seed,
                **settings,
            )
        self.history_ = fit(
            experiment.model,
            *(data.subset(kept), data.subset(held_out), experiment.objective, experiment.training),
            callbacks=[],
        )
        self.model_: VAE = experiment.model.cpu().double()

    def __getstate__(self) -> dict[str, Any]:
        return {name: _as_files(value) for name, value in super().__getstate__().items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: _as_models(value) for name, value in state.items()})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _as_files(value: Any) -> Any:
    """A model, or those of a list, as the contents of its files; anything else as it is."""
    if isinstance(value, list):
        return [_as_files(each) for each in value]
    if not isinstance(value, VAE):
        return value
    with tempfile.TemporaryDirectory() as folder:
        storage.save(value, folder)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def _as_models(value: Any) -> Any:
    """What `_as_files` was given."""
    if isinstance(value, list):
        return [_as_models(each) for each in value]
    if not (isinstance(value, dict) and MODEL_FILE in value):
        return value
    with tempfile.TemporaryDirectory() as folder:
        for name, content in value.items():
            (Path(folder) / name).write_bytes(content)
        return storage.load(folder).double()
