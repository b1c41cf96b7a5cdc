"""Densities of rows, and outliers by them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import DensityMixin, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lowerbound.errors import ConfigurationError, check_count
from lowerbound.evaluation.walk import per_example
from lowerbound.objectives import Trimmed
from lowerbound.schedules import Linear
from lowerbound.sklearn.base import BOUND, Estimator
from lowerbound.streams import Stream, generator
from lowerbound.vae import Conditioned

LEAST, WARM_UP = torch.finfo(torch.float64).min, 100


@dataclass(eq=False, repr=False)
class _Density(Estimator):
    """What has a log-density of each row."""

    samples: int = 100

    def _fit(self, X: Any, **settings: Any) -> None:
        check_count("samples", self.samples)
        super()._fit(X, **settings)

    def score_samples(self, X: Any) -> np.ndarray:
        """log (1/k) Σ w of what each row of ``X`` observes, nats, in X's units, float64, (n,).

        Its expectation is at most log p(x).  The draws z = μ + σε take the same ε for every row,
        so that a row has one score, whatever others are beside it.  What is beyond float64 has the
        least number that it holds.
        """
        data = self._read(X)
        model, k = self.model_, check_count("samples", self.samples)
        noise = torch.randn(
            *(k, 1, model.latent_dim), generator=generator(0, Stream.EVALUATE), dtype=torch.float64
        )

        def measure(given: Conditioned) -> dict[str, Tensor]:
            log_w = given.at(given.q.mean + given.q.stddev * noise).log_w
            volume = model.transform.log_volume(given.x)
            return {"log_p": log_w.logsumexp(0) - math.log(k) + volume}

        found = per_example(model, data, measure, seed=0, stream=Stream.EVALUATE, copies=k, draws=k)
        log_p = found["log_p"]
        return torch.where(log_p.isfinite(), log_p, LEAST).numpy()


@dataclass(eq=False, repr=False)
class VAEDensity(DensityMixin, _Density):  # type: ignore[misc]
    """The density p(x) = ∫ p(x|z) p(z) dz of rows, which is bounded by importance weighting.

    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> density = VAEDensity(steps=20, random_state=0).fit(X)
    >>> density.score_samples(X).shape, density.sample(3, random_state=0).shape
    ((178,), (3, 13))

    Args:
        latent_dim: dimensions of the code z.
        samples: k, the draws z ~ q(z|x) of each row.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows ``X``, by `IWAE` with ten draws; ``y`` is ignored."""
        self._fit(self._validated(X, reset=True), **BOUND)
        return self

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples` of ``X``, nats a row; ``y`` is ignored."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """``n_samples`` rows x ~ p(x|z), z ~ p(z), as X of `fit` came.

        ``random_state`` is a seed, a generator of numpy's, or None for its global one.
        """
        check_is_fitted(self)
        seed = int(check_random_state(random_state).randint(2**31))
        return self._given_back(self.model_.sample(n_samples, seed=seed))


@dataclass(eq=False, repr=False)
class VAEOutlierDetector(OutlierMixin, _Density):  # type: ignore[misc]
    """Rows that are unlike those of `fit`: of the least log p(x).

    Of tables that is minus `outliers`' score ``excess``, which it takes where none is asked for.
    The rows of `fit` may hold outliers: after 100 steps, training leaves out of each batch the rows
    of the lowest bounds, twice the share of ``contamination``, as `Trimmed` does.

    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> detector = VAEOutlierDetector(steps=20, contamination=0.05, random_state=0)
    >>> int((detector.fit_predict(X) == -1).sum())
    9

    Args:
        latent_dim: dimensions of the code z.
        contamination: the share of the rows of `fit` that are outliers, above 0, at most 0.5.
        samples: k, the draws z ~ q(z|x) of each row.
    """

    contamination: float = 0.1

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows ``X``, and put the threshold where it tells their share of outliers.

        ``y`` is ignored.
        """
        given = self.contamination
        if not isinstance(given, Real) or not 0 < given <= 0.5:
            raise ConfigurationError(f"expected contamination above 0, at most 0.5, got {given!r}")
        rows = self._validated(X, reset=True)
        start = self._passes(WARM_UP, len(rows))
        share = Linear(start=start, duration=1, final=min(0.5, 2 * given))
        self._fit(rows, objective=Trimmed(share=share))
        self.offset_: float = float(np.percentile(self.score_samples(X), 100 * given))
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` of ``X`` less ``offset_``, nats, (n,): below 0 of outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """−1 for rows of ``X`` that are outliers, 1 for others, (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)
