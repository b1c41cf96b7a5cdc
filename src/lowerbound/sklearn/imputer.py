"""Missing cells, filled in."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from lowerbound.errors import DataError, check_count
from lowerbound.evaluation import impute
from lowerbound.sklearn import frames
from lowerbound.sklearn.base import BOUND, Estimator
from lowerbound.vae import VAE


@dataclass(eq=False, repr=False)
class VAEImputer(OneToOneFeatureMixin, TransformerMixin, Estimator):  # type: ignore[misc]
    """Missing cells, filled in given the rest of their row, as `evaluation.impute` has it.

    A number becomes its mean, a category the likeliest one, of several models trained from other
    weights and with other rows held out.  Rows with missing cells are taken even where `fit` met
    none.

    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> X[::3, 0] = np.nan
    >>> imputer = VAEImputer(steps=20, samples=10, n_estimators=2, random_state=0)
    >>> bool(np.isnan(imputer.fit_transform(X)).any())
    False

    Args:
        latent_dim: dimensions of the code z.
        samples: the draws z ~ q(z|x) of each row with missing cells, of each model.
        n_estimators: how many models.
        sample_posterior: draw what is filled in instead, by one of the models, by ``random_state``,
            so that the spread over several tables shows what is not known.
        add_indicator: also which cells were missing, in a column for each that had some in `fit`,
            as scikit-learn's `MissingIndicator` has them.
        keep_empty_features: keep columns of numbers that had no value in `fit`, with 0 where one is
            missing; without, such columns are left out.
    """

    samples: int = 1000
    n_estimators: int = 3
    sample_posterior: bool = False
    add_indicator: bool = False
    keep_empty_features: bool = False

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows ``X``, by `IWAE` with ten draws; ``y`` is ignored."""
        X = self._validated(X, reset=True)
        check_count("samples", self.samples)
        gone = frames.missing(X)
        self._known = np.asarray(~gone.all(0))
        self._kept = np.ones_like(self._known) if self.keep_empty_features else self._known
        if not self._known.any():
            raise DataError("X: expected at least one value, got none")
        empty = (self._kept & ~self._known).nonzero()[0].tolist()
        if frames.library(X) and (texts := [i for i in empty if not frames.is_numeric(X, i)]):
            raise DataError(
                "X: expected columns of numbers where keep_empty_features has those without a "
                f"value kept, got {frames.names_of(X)[texts[0]]!r}; drop it"
            )
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(_marked(gone))
        known, state = frames.take(X, self._known), check_random_state(self.random_state)
        models: list[VAE] = []
        for _ in range(check_count("models", self.n_estimators)):
            self._fit(known, missing=True, random_state=state, **BOUND)
            models.append(self.model_)
        del self.model_
        self.models_ = models
        return self

    def transform(self, X: Any) -> Any:
        """``X`` with its missing cells filled in; all others are as they were.

        A frame comes back as one, of the columns and types that it had.
        """
        check_is_fitted(self)
        X = self._validated(X)
        gone = frames.missing(X)
        if not self._kept.all():
            unknown = super().get_feature_names_out()[~self._kept].tolist()
            warnings.warn(f"X: left out {unknown}, which had no value in fit", stacklevel=2)
        whole = frames.take(self._filled_in(X, gone), self._kept)
        if self.indicator_ is None:
            return whole
        marks = self.indicator_.transform(_marked(gone))
        if not frames.library(X):
            return np.hstack((whole, marks))
        names = self.indicator_.get_feature_names_out(frames.names_of(X))
        return frames.beside(whole, dict(zip(names, marks.T, strict=True)))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the columns that `transform` returns.

        Those of ``input_features``, the columns of X, or else of `fit`, or else x0, x1, ….
        """
        names = super().get_feature_names_out(input_features)
        if self.indicator_ is None:
            return names[self._kept]
        return np.hstack((names[self._kept], self.indicator_.get_feature_names_out(names)))

    def _filled_in(self, X: Any, gone: np.ndarray) -> Any:
        """X with values in the cells that are ``gone``."""
        draws = int(self.sample_posterior)
        found = impute(
            self.models_,
            self._dataset(frames.take(X, self._known)),
            draws=draws,
            samples=self.samples,
            seed=int(check_random_state(self.random_state).randint(2**31)) if draws else 0,
        )
        x = found.x if found.draws is None else found.draws[0]
        if not frames.library(X):
            fill = np.zeros(X.shape)
            fill[:, self._known] = x.numpy()
            return np.where(gone, fill, X)
        cells, names = self._example.table(x), frames.names_of(X)
        for place in (gone.any(0) & self._kept).nonzero()[0].tolist():
            if self._known[place] and names[place] not in cells:
                raise DataError(
                    f"X: expected no missing cells in {names[place]!r}, which only numbers the "
                    "rows, got some; drop it"
                )
            given = cells.get(names[place], [0] * len(gone))
            X = frames.filled(X, place, gone[:, place], np.array(given, object))
        return X


def _marked(gone: np.ndarray) -> np.ndarray:
    """Numbers that are NaN where a cell is ``gone``."""
    return np.where(gone, np.nan, 0.0)
