"""VAEs as estimators of scikit-learn: codes, densities, outliers and missing cells of tables.

X is an array of numbers (n, D), or a frame of pandas, polars or Arrow whose columns may be of
several kinds; NaN and nulls are missing cells.  `VAETransformer.inverse_transform`, the samples of
`VAEDensity` and what `VAEImputer` fills in come as X of `fit` did.
"""

from __future__ import annotations

import importlib
import inspect
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from lowerbound import storage
from lowerbound.data import Dataset, from_arrays
from lowerbound.data.kinds import told_kinds
from lowerbound.data.tables import is_frame
from lowerbound.errors import ConfigurationError, DataError, check_count
from lowerbound.evaluation import embed
from lowerbound.evaluation.walk import per_example
from lowerbound.extras import needs
from lowerbound.recipes import table
from lowerbound.streams import Stream, generator, seeded
from lowerbound.training import fit
from lowerbound.transforms import PerField, Transform
from lowerbound.vae import VAE, Conditioned

needs("sklearn", "learn")

from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    OutlierMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["VAEDensity", "VAEOutlierDetector", "VAETransformer"]

VALIDATION = 0.1
FRAMES = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}
"""What makes a frame of columns by their names, in each library."""
LEAST = torch.finfo(torch.float64).min

SHARED = """\
    hidden: widths of the encoder's hidden layers; the decoder's are the same, reversed.
    likelihood: p(x|z), ``"auto"`` for what the recipe ``table`` takes for the kind of each
        column, or what `recipes.compose` takes.
    steps: of training, at the most, rounded up to whole passes over X.  A tenth of the rows is held
        out: where the bound on them has not risen for 300 steps, or 10 passes if those are longer,
        training ends, and the best weights are kept.
    batch_size: rows in a step.
    learning_rate: of Adam.
    random_state: of the first weights, of what is held out, and of all noise.

Attributes:
    model_: the `VAE`, in float64.
    history_: the records of `fit`, one for each pass.
    n_features_in_: the columns of X.
    feature_names_in_: their names, where X is a frame whose names are all text."""


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What the estimators share: parameters, training, and a state without pickled networks."""

    model_: VAE

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.__doc__:  # which ends with its own arguments
            cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n{SHARED}"

    def __init__(
        self,
        latent_dim: int = 20,
        *,
        hidden: int | Sequence[int] = 64,
        likelihood: Any = "auto",
        steps: int = 3000,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        random_state: Any = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.likelihood = likelihood
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows ``X``; ``y`` is ignored."""
        data = self._read(X, reset=True)
        self._train(data)
        self._example, self._kinds = data.take(1), told_kinds(data)[0]
        library = type(X).__module__.partition(".")[0]
        self._library = (library if library in FRAMES else "pyarrow") if is_frame(X) else None
        return self

    def _given_back(self, x: Tensor) -> Any:
        """Rows x in the units of X, as X of `fit` came."""
        if self._library is None:
            return x.double().numpy()
        library = importlib.import_module(self._library)
        return getattr(library, FRAMES[self._library])(self._example.table(x))

    def _read(self, X: Any, *, reset: bool = False) -> Dataset:
        """X as a data set; ``reset`` in `fit`, whose columns later ones must have."""
        if not reset:
            check_is_fitted(self)
        if is_frame(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            # Labels of one class, so that no column is taken for them.
            kinds = None if reset else self._kinds
            data = from_arrays(X, np.zeros(len(X)), name="X", missing=True, kinds=kinds)
        else:
            # One row is refused here, in scikit-learn's words.
            rows = {"ensure_min_samples": 2 if reset else 1}
            checks = {"dtype": np.float64, "ensure_all_finite": "allow-nan", **rows}
            array = validate_data(self, X, reset=reset, **checks)
            data = from_arrays(array, name="X", missing=True)
        if reset and len(data) < 2:
            raise DataError("X: expected at least 2 rows, got 1")
        if reset and (empty := data.x.isnan().all(0)).any():
            raise DataError(
                f"X: expected at least one value in column {int(empty.int().argmax())} (counted "
                "from 0), got none; leave it out"
            )
        if not reset and data.missing and not hasattr(self.model_.likelihood, "takes_missing"):
            raise DataError(
                "X: expected no missing cells, as fit was given none, got some; fit on rows with "
                "missing cells, or fill them in first"
            )
        # That all values so far are in [0, 1] promises nothing of other rows.
        schema = tuple(replace(f, kind="real") if f.kind == "unit" else f for f in data.schema)
        return replace(data, labels=None, classes=None, labels_from=None, schema=schema)

    def _train(self, data: Dataset) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31))
        steps, size = check_count("steps", self.steps), check_count("rows", self.batch_size)
        order = torch.randperm(len(data), generator=generator(seed, Stream.SUBSET))
        held_out, kept = order.tensor_split([max(1, round(VALIDATION * len(data)))])
        with seeded(torch.device("cpu"), seed, Stream.FIRST):
            experiment = table(
                data,
                latent_dim=check_count("latent dimensions", self.latent_dim),
                hidden=self.hidden,
                likelihood=self.likelihood,
                epochs=-(-steps // -(-len(kept) // size)),
                batch_size=size,
                learning_rate=self.learning_rate,
                seed=seed,
            )
        self.history_ = fit(
            experiment.model,
            *(data.subset(kept), data.subset(held_out), experiment.objective, experiment.training),
            callbacks=[],
        )
        self.model_ = experiment.model.cpu().double()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                storage.save(state["model_"], folder)
                state["model_"] = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                for name, content in state["model_"].items():
                    (Path(folder) / name).write_bytes(content)
                state = state | {"model_": storage.load(folder).double()}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Estimator):  # type: ignore[misc]
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
        with torch.no_grad():
            return self._given_back(self.model_.decode(np.array(X, np.float64)))


class _Density(_Estimator):
    """What has a log-density of each row."""

    def __init__(
        self,
        latent_dim: int = 20,
        *,
        hidden: int | Sequence[int] = 64,
        likelihood: Any = "auto",
        steps: int = 3000,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        samples: int = 100,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            latent_dim,
            hidden=hidden,
            likelihood=likelihood,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            random_state=random_state,
        )
        self.samples = samples

    def score_samples(self, X: Any) -> np.ndarray:
        """log (1/k) Σ w of what each row of ``X`` observes, nats, in X's units, float64, (n,).

        Its expectation is at most log p(x).  The draws z = μ + σε take the same ε for every row,
        so that a row has one score, whatever others are beside it.  What is beyond float64 has the
        least number that it holds.
        """
        data = self._read(X)
        model, k = self.model_, check_count("samples", self.samples)
        noise = torch.randn(
            *(k, 1, model.latent_dim),
            generator=generator(0, Stream.EVALUATE),
            dtype=torch.float64,
        )

        def measure(given: Conditioned) -> dict[str, Tensor]:
            log_w = given.at(given.q.mean + given.q.stddev * noise).log_w
            return {"log_p": log_w.logsumexp(0) - math.log(k)}

        found = per_example(model, data, measure, seed=0, stream=Stream.EVALUATE, copies=k, draws=k)
        log_p = found["log_p"] + log_volume(model.transform, model.by_name(data).x)
        return torch.where(log_p.isfinite(), log_p, LEAST).numpy()


def log_volume(transform: Transform, x: Tensor) -> Tensor:
    """log |∂transform(x)/∂x| over the elements of rows ``x`` that are observed, nats, (n,).

    As ``transform.log_volume`` where none is missing; discrete elements have probabilities, and 0.
    """
    x = x.double().requires_grad_()
    counted = ~x.isnan()
    if isinstance(transform, PerField):
        for columns, output in transform.output:
            counted[:, columns] &= output == "continuous"
    else:
        counted &= transform.output == "continuous"
    if not counted.any():
        return torch.zeros(len(x), dtype=torch.float64)
    (slope,) = torch.autograd.grad(transform.noiseless(x).nansum(), x)
    return torch.where(counted, slope.abs().log(), 0.0).sum(1)


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


class VAEOutlierDetector(OutlierMixin, _Density):  # type: ignore[misc]
    """Rows that are unlike those of `fit`: of the least log p(x).

    Of tables that is minus `outliers`' score ``excess``, which it takes where none is asked for.

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

    offset_: float

    def __init__(
        self,
        latent_dim: int = 20,
        *,
        hidden: int | Sequence[int] = 64,
        likelihood: Any = "auto",
        steps: int = 3000,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        samples: int = 100,
        contamination: float = 0.1,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            latent_dim,
            hidden=hidden,
            likelihood=likelihood,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            samples=samples,
            random_state=random_state,
        )
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows ``X``, and put the threshold where it tells their share of outliers.

        ``y`` is ignored.
        """
        given = self.contamination
        if not isinstance(given, Real) or not 0 < given <= 0.5:
            raise ConfigurationError(f"expected contamination above 0, at most 0.5, got {given!r}")
        super().fit(X)
        self.offset_ = float(np.percentile(self.score_samples(X), 100 * given))
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` of ``X`` less ``offset_``, nats, (n,): below 0 of outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """−1 for rows of ``X`` that are outliers, 1 for others, (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)
