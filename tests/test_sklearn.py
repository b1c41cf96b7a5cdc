"""The estimators of scikit-learn: its own checks, densities by closed form, frames, and pickles."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lowerbound as lb
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.sklearn import VAEDensity, VAEImputer, VAEOutlierDetector, VAETransformer
from test_evaluation import draw, evidence, linear_gaussian
from test_imputation import conditional

QUICK = {"latent_dim": 2, "hidden": 4, "steps": 1}
NAN = math.nan


@parametrize_with_checks(
    [
        VAETransformer(**QUICK),
        VAEDensity(**QUICK, samples=2),
        VAEOutlierDetector(**QUICK, samples=2),
        VAEImputer(**QUICK, samples=2),
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


def test_another_unit_of_a_column_shifts_scores_by_its_logarithm_where_it_is_observed():
    frame = people()
    frame.loc[:9, "height"] = NAN
    one, other = (
        VAEDensity(**QUICK, random_state=0).fit(each)
        for each in (frame, frame.assign(height=1000 * frame["height"]))
    )
    shift = other.score_samples(frame.assign(height=1000 * frame["height"]))
    expected = one.score_samples(frame) - np.where(frame["height"].isna(), 0, math.log(1000))
    np.testing.assert_allclose(shift, expected, atol=1e-4)
    data = lb.data.from_arrays(frame, np.zeros(60), missing=True)
    measured = lb.evaluate(one.model_, data, samples=5000)
    one.set_params(samples=5000)
    assert measured.in_data_units.value == pytest.approx(one.score(frame), abs=0.1)
    assert measured.bits_per_dimension is None


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


def test_a_detector_does_not_learn_the_outliers_among_its_rows():
    """They lie closely together, where a density that fits all rows is highest."""
    rng = np.random.default_rng(0)
    x = np.vstack((rng.normal(size=(180, 4)), rng.normal(3, 0.2, size=(20, 4))))
    detector = VAEOutlierDetector(2, hidden=16, steps=300, samples=20, random_state=0)
    np.testing.assert_array_equal(detector.fit_predict(x) == -1, np.arange(200) >= 180)


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
    with pytest.raises(
        DataError, match=r"'city', as the model was made for, got 'Paris'; leave such rows"
    ):
        VAEDensity(**QUICK).fit(people()).score_samples(people().assign(city="Paris"))
    with pytest.raises(ConfigurationError, match="did you mean StudentT"):
        VAEDensity(likelihood="StudentX").fit(x)
    with pytest.raises(ConfigurationError, match="whole number of samples from 1"):
        VAEDensity(samples=0).fit(x)
    with pytest.raises(ConfigurationError, match="whole number of models from 1"):
        VAEImputer(n_estimators=0).fit(x)
    with pytest.raises(ValueError, match="2-dimensional container"):
        VAEDensity().fit(pd.Series([1.0, 2.0]))
    transformer = VAETransformer(**QUICK).fit(x)
    with pytest.raises(DataError, match="codes of finite numbers, got NaN"):
        transformer.inverse_transform(np.full((1, transformer.model_.latent_dim), NAN))


def test_cells_of_a_linear_model_are_filled_by_their_conditional_means():
    model, W = linear_gaussian(posterior_scale=1.5)
    x = draw(W, 3).x
    x[0, 1] = x[1, 3] = x[1, 4] = NAN
    imputer = VAEImputer(**QUICK, samples=20_000).fit(draw(W, 40).x.numpy())
    imputer.models_ = [model.double()]
    filled = torch.from_numpy(imputer.transform(x.numpy()))
    assert torch.equal(filled[2].float(), x[2])
    for row, given in zip(filled[:2], x, strict=False):
        seen = ~given.isnan()
        assert (row[seen] == given[seen]).all()
        expected = conditional(W, given)[0].double()
        torch.testing.assert_close(row[~seen], expected, atol=0.03, rtol=0)


@pytest.mark.parametrize("made", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_frames_are_filled_and_keep_their_types(made):
    frame = people().astype({"city": "category", "children": "Int64"})
    frame = frame.assign(born=pd.Timestamp("2000-01-01") + pd.to_timedelta(frame.index, "D"))
    frame["grade"] = pd.Categorical(np.arange(60) % 3 + 7, ordered=True)
    frame["member"] = pd.array(np.arange(60) % 2 == 0, "boolean")
    for row, name in enumerate(("children", "born", "grade", "member"), 7):
        frame.loc[row, name] = None
    given = made(frame)
    filled = VAEImputer(**QUICK, samples=10, random_state=0).fit_transform(given)
    assert type(filled) is type(given)
    if made is not pd.DataFrame:
        assert filled.schema == given.schema
    whole = filled if made is pd.DataFrame else filled.to_pandas()
    assert not whole.isna().any().any()
    assert whole["city"].isin(["Bern", "Oslo", "Rome"]).all()
    assert whole["grade"].astype(int).isin([7, 8, 9]).all()
    back = frame if made is pd.DataFrame else given.to_pandas()
    rows = [3, 5, 7, 8, 9, 10]
    pd.testing.assert_frame_equal(whole.drop(index=rows), back.drop(index=rows), check_dtype=False)
    if made is pd.DataFrame:
        assert (whole.dtypes == frame.dtypes).all()


def test_columns_without_a_value_go_or_are_0_and_indicators_come_as_scikit_learn_has_them():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    x[:, 1] = x[3, 0] = NAN
    imputer = VAEImputer(**QUICK, samples=5, random_state=0, add_indicator=True)
    peer = SimpleImputer(add_indicator=True)
    for kept in (False, True):
        for each in (imputer, peer):
            each.set_params(keep_empty_features=kept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            filled, expected = imputer.fit_transform(x), peer.fit_transform(x)
        same = ~np.isnan(x[:, [0, 1, 2] if kept else [0, 2]])
        same = np.hstack((same, np.ones((40, 2), bool)))
        same[:, 1] |= kept
        assert filled.shape == expected.shape
        assert (filled[same] == expected[same]).all()
        assert not np.isnan(filled).any()
        assert [*imputer.get_feature_names_out()] == [*peer.get_feature_names_out()]
    frame = pd.DataFrame({"a": x[:, 0], "b": [None] * 40, "c": x[:, 1], "d": x[:, 2]})
    for made in (pd.DataFrame, pl.from_pandas, pa.Table.from_pandas):
        imputer.set_params(keep_empty_features=False)
        with pytest.warns(UserWarning, match=r"left out \['b', 'c'\], which had no value in fit"):
            found = imputer.fit_transform(made(frame))
        names = getattr(found, "column_names", None) or found.columns
        assert [*names] == [*imputer.get_feature_names_out()]
        imputer.set_params(keep_empty_features=True)
        with pytest.raises(DataError, match=r"columns of numbers .* got 'b'; drop it"):
            imputer.fit(made(frame))
        found = imputer.fit_transform(made(frame[["a", "c", "d"]]))
        assert (np.array(found["c"]) == 0).all()
    with pytest.raises(DataError, match="at least one value, got none"):
        VAEImputer().fit(np.full((4, 2), NAN))


def test_draws_of_cells_follow_the_random_state_and_a_row_has_one_mean():
    x = np.random.default_rng(0).normal(size=(60, 3))
    imputer = VAEImputer(**QUICK, samples=20, random_state=0).fit(x)
    x[::2, 1] = NAN
    means = imputer.transform(x)
    np.testing.assert_allclose(imputer.transform(x[50:]), means[50:], rtol=1e-6)
    assert (imputer.set_params(random_state=1).transform(x) == means).all()
    imputer.set_params(sample_posterior=True)
    one, two = imputer.transform(x), imputer.set_params(random_state=2).transform(x)
    assert (one[1::2] == x[1::2]).all()
    assert (one[::2, 1] != two[::2, 1]).all()
    assert (imputer.transform(x) == two).all()
    other = pickle.loads(pickle.dumps(imputer))  # noqa: S301
    assert (other.transform(x) == two).all()
    assert len(other.models_) == len(imputer.models_) == 3


def test_imputers_serve_in_pipelines_and_searches():
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = x[:, 0] > 0
    x[::4, 1] = NAN
    steps = make_pipeline(VAEImputer(**QUICK, samples=2), LogisticRegression())
    grid = {"vaeimputer__latent_dim": [1, 2]}
    found = GridSearchCV(steps, grid, cv=2, error_score="raise").fit(x, y)
    assert found.predict(x).shape == (40,)
    numbered = pd.DataFrame({"id": range(40), "a": x[:, 1], "b": x[:, 2]})
    imputer = VAEImputer(**QUICK, samples=2).set_output(transform="pandas").fit(numbered)
    pd.testing.assert_series_equal(imputer.transform(numbered)["id"], numbered["id"])
    with pytest.raises(DataError, match="no missing cells in 'id', which only numbers the rows"):
        imputer.transform(numbered.assign(id=[None, *range(39)]))
    one = imputer.transform(numbered[:1])
    assert one["a"].notna().all()
