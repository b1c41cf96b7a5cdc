"""Codes of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lowerbound.errors import DataError
from lowerbound.evaluation import embed
from lowerbound.sklearn.base import Estimator


@dataclass(eq=False, repr=False)
class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):  # type: ignore[misc]
    """Codes of rows: the mean of q(z|x).

    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> VAETransformer(latent_dim=2, steps=20, random_state=0).fit_transform(X).shape
    (178, 2)

    Args:
        latent_dim: dimensions of the code z, the columns that come out.
    """

    @property
    def _n_features_out(self) -> int:
        return self.model_.latent_dim

    def transform(self, X: Any) -> np.ndarray:
        """The mean of q(z|x) of each row of ``X``, float64, (n, latent_dim)."""
        return embed(self.model_, self._read(X)).numpy()

    def inverse_transform(self, X: Any) -> Any:
        """The mean of p(x|z) at each row z of ``X``, (n, latent_dim), as rows of X of `fit`.

        Of categories it is the likeliest.
        """
        check_is_fitted(self)
        z = np.array(X, np.float64)
        if not np.isfinite(z).all():
            raise DataError("X: expected codes of finite numbers, got NaN or infinity")
        with torch.no_grad():
            return self._given_back(self.model_.decode(z))
