"""The estimators of scikit-learn: its own checks, densities by closed form, frames, and pickles."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lowerbound as lb
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.sklearn import VAEDensity, VAEOutlierDetector, VAETransformer, log_volume
from lowerbound.transforms import Codes, Counts, PerField
from test_evaluation import evidence, linear_gaussian

QUICK = {"latent_dim": 2, "hidden": 4, "steps": 1}
NAN = math.nan


@parametrize_with_checks(
    [
        VAETransformer(**QUICK),
        VAEDensity(**QUICK, samples=2),
        VAEOutlierDetector(**QUICK, samples=2),
    ]
)
def test_scikit_learn_s_own_checks(estimator, check):
    check(estimator)


def people(n: int = 60) -> pd.DataFrame:
    """Columns of several kinds, one of them called label, with missing cells."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "city": rng.choice(["Bern", "Oslo", "Rome"], n),
            "height": rng.normal(170, 10, n),
            "children": rng.poisson(1, n),
            "label": rng.normal(size=n),
        }
    )
    frame.loc[3, "height"] = NAN
    frame.loc[5, "city"] = None
    return frame


def test_the_density_of_a_linear_model_is_its_evidence_in_original_units():
    model, W = linear_gaussian()
    mean, deviation = (10.0, -3.0, 0.0, 5.0, 1.0), (2.0, 0.1, 1.0, 30.0, 0.5)
    model.transform = lb.Standardise(mean, deviation)
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    rows = x.double() * torch.tensor(deviation) + torch.tensor(mean)
    density = VAEDensity(**QUICK, samples=3).fit(rows.numpy())
    density.model_ = model.double()
    expected = evidence(W, lb.data.Dataset(x)) - sum(map(math.log, deviation))
    np.testing.assert_allclose(density.score_samples(rows.numpy()), expected, atol=1e-4)


def test_the_volume_is_of_what_is_observed_and_continuous():
    transform = PerField(
        (lb.Standardise((0.0, 1.0), (2.0, 5.0)), Codes(), Counts(), lb.Binary(255.0)),
        ((0, 3), (1,), (2,), (4,)),
    )
    x = torch.tensor([[1.0, 2.0, 7.0, 1.0, 255.0], [1.0, NAN, NAN, NAN, 0.0]])
    volumes = log_volume(transform, x)
    assert volumes[0].item() == pytest.approx(transform.log_volume((5,)))
    assert volumes[1].item() == pytest.approx(-math.log(2))
    ordinal = lb.transforms.Levels(((0.0, 1.0, 2.5),))
    assert log_volume(ordinal, torch.ones(2, 1)).tolist() == [0, 0]
    levels = lb.Dequantise(16)
    assert log_volume(levels, torch.ones(1, 3)).item() == pytest.approx(levels.log_volume((3,)))


def test_a_row_has_one_score_and_far_ones_have_finite_ones():
    x = np.random.default_rng(0).normal(size=(40, 3))
    density = VAEDensity(**QUICK, random_state=0).fit(x)
    alone = [density.score_samples(row[None])[0] for row in x]
    np.testing.assert_allclose(alone, density.score_samples(x), rtol=1e-9)
    scores = density.score_samples(x[:1] * 10.0 ** np.array([[0], [2], [10], [100]]))
    assert np.isfinite(scores).all()
    assert (np.diff(scores) < 0).all()


def test_outliers_are_the_share_asked_for_and_those_without_probability():
    x = np.random.default_rng(0).normal(size=(100, 3))
    detector = VAEOutlierDetector(**QUICK, contamination=0.07, random_state=0).fit(x)
    assert (detector.predict(x) == -1).sum() == 7
    assert detector.predict(x[:1] * 1e6) == -1
    for wrong in (0, 0.6, "auto"):
        with pytest.raises(ConfigurationError, match=r"contamination above 0, at most 0\.5, got"):
            VAEOutlierDetector(contamination=wrong).fit(x)


@pytest.mark.parametrize("made", [pd.DataFrame, pl.from_pandas])
def test_frames_of_mixed_columns_come_in_and_out(made):
    frame = made(people())
    transformer = VAETransformer(**QUICK, random_state=0).set_output(transform="pandas")
    codes = transformer.fit_transform(frame)
    assert [*codes.columns] == ["vaetransformer0", "vaetransformer1"]
    assert transformer.model_.columns == ("city", "height", "children", "label")
    for rows in (transformer.inverse_transform(codes), VAEDensity(**QUICK).fit(frame).sample(60)):
        assert type(rows) is type(frame)
        assert [*rows.columns] == [*frame.columns]
        assert set(rows["city"]) <= {"Bern", "Oslo", "Rome"}
    density = VAEDensity(**QUICK).fit(frame)
    children = density.sample(60)["children"].to_numpy()
    assert (children == children.round()).all()
    empty = people(4).assign(city=None, height=NAN)
    assert np.isfinite(density.score_samples(made(empty))).all()


def test_the_state_of_a_fitted_estimator_is_a_saved_model():
    frame = people()
    density = VAEDensity(**QUICK, random_state=0).fit(frame)
    assert "model.json" in density.__getstate__()["model_"]
    for other in (pickle.loads(pickle.dumps(density)), copy.deepcopy(density)):  # noqa: S301
        assert (other.score_samples(frame) == density.score_samples(frame)).all()
        assert other.sample(3, random_state=1).equals(density.sample(3, random_state=1))


def test_searches_and_pipelines_take_them():
    x = np.random.default_rng(0).normal(size=(40, 3))
    steps = make_pipeline(MinMaxScaler(), VAETransformer(**QUICK), LogisticRegression())
    assert steps.fit(x, x[:, 0] > 0).predict(x).shape == (40,)
    # Folds that are held out go beyond the scaler's 0 and 1.
    grid = {"vaedensity__latent_dim": [1, 2], "vaedensity__hidden": [(4,), (4, 4)]}
    scaled = make_pipeline(MinMaxScaler(), VAEDensity(**QUICK, samples=2))
    found = GridSearchCV(scaled, grid, cv=2, error_score="raise").fit(x)
    assert found.best_params_.keys() == grid.keys()


def test_the_random_state_decides_all_and_torch_s_is_left_alone():
    x = np.random.default_rng(0).normal(size=(40, 3))
    before = torch.get_rng_state()
    one, two, other = (
        clone(VAETransformer(**QUICK)).set_params(random_state=seed).fit_transform(x)
        for seed in (0, 0, 1)
    )
    assert (one == two).all()
    assert not (one == other).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_taken_is_one_sentence():
    x = np.random.default_rng(0).normal(size=(40, 3))
    holes = np.where(np.arange(3) == 1, NAN, x)
    with pytest.raises(DataError, match=r"at least one value in column 1 \(counted from 0\)"):
        VAEDensity().fit(holes)
    with pytest.raises(DataError, match="expected no missing cells, as fit was given none"):
        VAEDensity(**QUICK).fit(x).score_samples(holes)
    with pytest.raises(DataError, match=r"'city', as the model was made for, got 'Paris'"):
        VAEDensity(**QUICK).fit(people()).score_samples(people().assign(city="Paris"))
    with pytest.raises(ConfigurationError, match="did you mean StudentT"):
        VAEDensity(likelihood="StudentX").fit(x)
