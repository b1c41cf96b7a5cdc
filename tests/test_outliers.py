"""Outliers: each score where it is known, p-values, figures of separation, and the command."""

from __future__ import annotations

import csv
import itertools
import json
import math
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn import metrics
from torch.utils._python_dispatch import TorchDispatchMode

import lowerbound as lb
from lowerbound import outliers
from lowerbound.data import Dataset, Field
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.evaluation import refit
from lowerbound.outliers import SCORES, TRIVIAL, Measures, cells, columns, explanation, same
from lowerbound.outliers.cells import left_out_costs
from lowerbound.outliers.scores import OF_DRAWS, score
from test_cli import SMALL, exit_code, run, trained  # noqa: F401
from test_evaluation import SIGMA, draw, evidence, far, linear_gaussian, set_linear

OF_ONE_MODEL = [name for name in SCORES if name not in OF_DRAWS]


def test_bounds_and_what_is_made_of_them_on_a_model_whose_evidence_is_known():
    model, W = linear_gaussian()
    data, train = draw(W, 200), draw(W, 500)
    x, reference = Measures(model, data, samples=3), Measures(model, train, samples=3)
    cost = -evidence(W, data).double()
    close = {"rtol": 0, "atol": 1e-4}
    for name in ("importance_weighted", "excess"):  # the posterior is exact
        torch.testing.assert_close(score(name, x, reference), cost, **close)
    usual = -evidence(W, train).double().mean()
    torch.testing.assert_close(score("typicality", x, reference), (cost - usual).abs(), **close)
    size = torch.tensor([len(zlib.compress(row.tobytes(), 9)) for row in data.x.numpy()])
    complexity = cost - 8 * math.log(2) * size
    torch.testing.assert_close(score("complexity", x, reference), complexity, **close)
    known = torch.stack([score(name, reference, reference) for name in ("excess", "complexity")], 1)
    apart = torch.stack((cost, complexity), 1) - known.mean(0)
    distance = (apart @ known.T.cov().inverse() * apart).sum(1).sqrt()
    torch.testing.assert_close(score("dose", x, reference), distance, **close)


def test_regret_is_the_divergence_that_a_worse_encoder_leaves():
    scale = 1.5
    model, W = linear_gaussian(posterior_scale=scale)
    found = score("regret", *2 * [Measures(model, draw(W, 50), samples=200)])
    expected = 2 * ((scale**2 - 1) / 2 - math.log(scale))
    assert found.mean().item() == pytest.approx(expected, abs=0.03)


def test_excess_is_the_divergence_from_grey_levels():
    """With a decoder that ignores z, Σ KL(Bernoulli(x) ‖ Bernoulli(p))."""
    x = torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8)
    data = Dataset(x, schema=(Field("x", "grey", (1, 4, 4)),))
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,), likelihood="Bernoulli").model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # p = ½, q(z|x) = p(z)
    found = score("excess", *2 * [Measures(model, data, samples=2)])
    t = (x.double() / 255).flatten(1)
    divergence = (t.xlogy(2 * t) + (1 - t).xlogy(2 * (1 - t))).sum(1)
    torch.testing.assert_close(found, divergence, rtol=0, atol=1e-4)


def test_features_and_their_distances():
    model, W = linear_gaussian()
    x, train = Measures(model, draw(W, 30)), Measures(model, draw(W, 400))
    q = model.encode(x.data.x)
    apart = (x.data.x - model.decode(q.mean)).norm(dim=1)
    expected = torch.stack((apart, q.mean.norm(dim=1), q.variance.sum(1).sqrt()), 1).double()
    torch.testing.assert_close(x.features, expected, rtol=1e-4, atol=1e-5)
    # σ does not depend on x, and so is left out.
    varying, reference = x.features[:, :2].detach(), train.features[:, :2].detach()
    distance = varying - reference.mean(0)
    mahalanobis = (distance @ reference.T.cov().inverse() * distance).sum(1).sqrt()
    found = score("lpath_mahalanobis", x, train)
    torch.testing.assert_close(found, mahalanobis, rtol=1e-4, atol=1e-3)


def test_what_a_network_made_nan_is_no_feature_of_0():
    model, W = linear_gaussian()
    data = draw(W, 3)
    next(model.likelihood.parameters()).data.fill_(math.nan)
    assert not Measures(model, data).features[:, 0].isfinite().any()
    next(model.posterior.parameters()).data.fill_(math.nan)
    assert not Measures(model, data).features[:, 1].isfinite().any()


def test_a_training_row_with_nothing_observed_leaves_the_level_of_others_known():
    x = torch.randn(20, 2)
    x[3] = math.nan
    table = Dataset(x, schema=(Field("a", "real"), Field("b", "real")), missing=True)
    measured = Measures(lb.recipes.mlp(table, latent_dim=1, hidden=(4,)).model, table)
    known = score("level", measured, measured) < 1e300
    assert known.tolist() == [i != 3 for i in range(20)]


def test_ecod_of_a_few_numbers():
    """Reference 1, 2, 2, 9 is skewed to the right, −9, 1, 2, 2 to the left."""
    reference = torch.tensor([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [9.0, -9.0]]).double()
    found = outliers.ecod(torch.tensor([[9.5, -10.0], [2.0, 2.0], [0.0, 5.0]]).double(), reference)
    # Tails, of five with the example: left 5/5 and 1/5, right 1/5 and 5/5; the longer 1/5 and 1/5.
    # Left 4/5 and 5/5, right 4/5 and 3/5; longer 4/5 and 5/5.
    # Left 1/5 and 5/5, right 5/5 and 1/5; longer 5/5 and 5/5.
    expected = [2 * math.log(5), -math.log(4 / 5 * 3 / 5), math.log(5)]
    assert found.tolist() == pytest.approx(expected)


def test_scores_of_draws():
    w = torch.tensor([[0.5, 0.7], [0.25, 0.2], [0.25, 0.1]]).double()
    ll = w.log() + torch.tensor([3.0, -7000.0])  # likelihoods are known up to a factor
    expected = {
        "expected_likelihood": (math.log(3) - torch.tensor([3.0, -7000.0]).double()),
        "waic": ll.var(0) - ll.mean(0),
        "disagreement": -1 / w.square().sum(0),
        "entropy": (w * w.log()).sum(0),
        "std": ll.std(0),
    }
    assert set(expected) == set(OF_DRAWS)
    for name, values in expected.items():
        torch.testing.assert_close(getattr(outliers, name)(ll), values)
    # Stranger is higher: draws that agree, and draws of which one explains x far better.
    agreed, torn = torch.zeros(8, 1).double(), torch.tensor([[9.0]] + 7 * [[0.0]]).double()
    for name in ("disagreement", "entropy", "std"):
        assert getattr(outliers, name)(torn) > getattr(outliers, name)(agreed)


@pytest.mark.parametrize("factor", [1e2, 1e10, 1e30])
def test_far_rows_have_finite_scores_and_the_lowest_p_values(factor, monkeypatch):
    monkeypatch.setattr(refit, "STEPS", ((5, 0.1),))
    model, x = far()
    rows = torch.cat((x[:20], x[:2] * factor))
    found = outliers.detect(model, rows, x, x, scores=OF_ONE_MODEL, rate=0.1, samples=2)
    assert [*found.scores] == [*dict.fromkeys((*OF_ONE_MODEL, *TRIVIAL))]
    for name, values in found.scores.items():
        assert values.isfinite().all()
        if name not in ("size", "complexity"):
            assert found.p_values[name][-1] == pytest.approx(1 / 41), name


def test_a_row_without_any_bound_is_the_strangest():
    model, x = far()
    rows = x.clone()
    rows[7] = 3e38  # ∞ once it is divided by its deviation of 0.1
    found = outliers.detect(model, rows, x, x, scores=["elbo"], rate=0.1, samples=2)
    assert found.strangest(1).tolist() == [7]
    assert found.scores["elbo"].isfinite().all()


def test_p_values_of_fresh_inliers_are_uniform():
    model, W = linear_gaussian()
    found = outliers.detect(
        *(model, draw(W, 2000), draw(W, 1999), draw(W, 300)),
        scores=["elbo", "typicality", "lpath_ecod"],
        samples=1,
    )
    for name in ("elbo", "typicality", "lpath_ecod"):
        p = found.p_values[name].numpy()
        # Two samples are compared, each of 2,000.
        assert stats.kstest(p, "uniform").statistic < 1.63 * math.sqrt(2 / 2000), name
        assert found.flagged[name] == pytest.approx(0.01, abs=3 * math.sqrt(2 * 0.01 / 2000))


def test_p_values_with_ties_are_never_too_low():
    torch.manual_seed(0)
    scores = torch.randint(0, 5, (100_000,)).double()
    p = outliers.conformal(scores, torch.randint(0, 5, (999,)).double())
    for alpha in (0.1, 0.3, 0.5):
        assert (p <= alpha).double().mean() < alpha + 0.01


def test_an_inlier_among_the_examples_is_compared_with_the_others(caplog):
    model, W = linear_gaussian()
    inliers, train, fresh = draw(W, 20), draw(W, 30), draw(W, 5)
    own = torch.tensor([7, 0, 19])
    x = torch.cat((fresh.x, inliers.x[own], train.x[:2]))
    with caplog.at_level("INFO", "lowerbound"):
        found = outliers.detect(model, x, inliers, train, rate=0.1, samples=1)
    assert found.own.tolist() == [-1] * 5 + own.tolist() + [-1] * 2
    scores, p = found.calibration["level"], found.p_values["level"]
    for i, place in enumerate(own.tolist(), 5):
        others = scores[torch.arange(20) != place]
        assert p[i : i + 1].equal(outliers.conformal(scores[place : place + 1], others))
    assert p[:5].equal(outliers.conformal(found.scores["level"][:5], scores))
    told = [record.message for record in caplog.records]
    assert told[0].startswith("3 of 10 examples are held-out inliers, each")
    assert told[1].startswith("at least 2 of 10 examples are training data, which")
    every = outliers.detect(model, inliers, inliers, train, rate=0.1, samples=1)
    assert every.flagged["level"] == 0.1  # as by ranks


def test_where_rows_repeat_an_equal_one_is_not_taken_for_an_inlier_itself(caplog):
    model, _ = linear_gaussian()
    inliers, train, fresh = (torch.randint(2, (n, 5)).float() for n in (40, 50, 20))
    with caplog.at_level("INFO", "lowerbound"):
        found = outliers.detect(model, fresh, inliers, train, rate=0.1, samples=1)
    assert (found.own == -1).all()
    assert not caplog.records


def test_a_few_rows_that_repeat_leave_the_others_told_by_their_values():
    inliers, others = torch.arange(5000), torch.arange(5000, 9000)
    assert same.telling(inliers, others).all()
    others[:2] = torch.tensor([7, 6000])  # 4 of 9,000 rows have an equal one
    assert (~same.telling(inliers, others)).nonzero().tolist() == [[7]]
    others[:9] = 7
    assert not same.telling(inliers, others).any()


@pytest.mark.parametrize("values", [3, 8])
def test_p_values_of_fresh_inliers_are_valid_where_rows_repeat(values):
    """Exact: of all samples of 8 inliers and a fresh one, each one of so many likely values."""
    m, fresh, nothing = 8, torch.arange(values), torch.tensor([], dtype=torch.int64)
    low: dict[float, float] = {}
    for sample in itertools.combinations_with_replacement(range(values), m):
        inliers = torch.tensor(sample)
        repeats = math.prod(math.factorial(n) for n in inliers.bincount().tolist())
        own = same.places(fresh, inliers, same.telling(inliers, nothing))
        for p in outliers.conformal(fresh.double(), inliers.double(), own).tolist():
            low[p] = low.get(p, 0) + math.factorial(m) / repeats / values ** (m + 1)
    assert sum(low.values()) == pytest.approx(1)
    for alpha in low:
        assert sum(share for p, share in low.items() if p <= alpha) <= alpha + 1e-12


def test_equal_examples_have_equal_digests_and_others_have_not():
    model, _ = linear_gaussian()
    x = torch.tensor([[1.0, math.nan, 0.0, 2, 3], [1.0, math.nan, -0.0, 2, 3], [1, 0, 0, 2, 3]])
    first, second, other = same.digests(model, Dataset(x, name="x", missing=True)).tolist()
    assert first == second != other
    model.context = lb.Labels(2)
    labelled = Dataset(x[[0, 0]], name="x", missing=True, labels=torch.tensor([0, 1]))
    assert len(set(same.digests(model, labelled).tolist())) == 2


def test_separation_agrees_with_scikit_learn():
    torch.manual_seed(0)
    inside, outside = torch.randint(0, 9, (60,)).double(), torch.randint(3, 12, (40,)).double()
    found = outliers.separation(inside, outside)
    truth, values = np.arange(100) >= 60, torch.cat((inside, outside)).numpy()
    assert found.auroc.value == pytest.approx(metrics.roc_auc_score(truth, values))
    assert found.auprc.value == pytest.approx(metrics.average_precision_score(truth, values))
    fpr, tpr, _ = metrics.roc_curve(truth, values, drop_intermediate=False)
    assert found.fpr80.value == pytest.approx(fpr[tpr >= 0.8].min())
    assert outliers.auroc(outside, inside) == pytest.approx(1 - found.auroc.value)
    # Hanley & McNeil's standard error is that of the bootstrap.
    a, n, m = found.auroc.value, 40, 60
    pairs = (n - 1) * (a / (2 - a) - a**2) + (m - 1) * (2 * a**2 / (1 + a) - a**2)
    expected = math.sqrt((a * (1 - a) + pairs) / (n * m))
    assert (found.auroc.high - found.auroc.low) / 3.92 == pytest.approx(expected, rel=0.25)
    with pytest.raises(DataError, match="finite scores"):
        outliers.auroc(inside, torch.tensor([math.nan]))


def test_what_cannot_be_told_is_refused_in_one_sentence():
    model, W = linear_gaussian()
    data = draw(W, 50)
    for scores, told in (
        (["elbow"], "did you mean elbo"),
        (["all", "elbow"], "did you mean elbo"),
        (["waic"], "draws of its weights"),
        (["std", "elbo"], "got one of a single set of them"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            outliers.detect(model, data, data, scores=scores)
    with pytest.raises(
        ConfigurationError, match=r"at least 99 held-out inliers.*a rate of 0\.02 \(--rate 0\.02\)"
    ):
        outliers.detect(model, data, data, data, rate=0.01)
    with pytest.raises(ConfigurationError, match=r"got 0, .* hold out more$"):
        outliers.detect(model, data, data.take(1))
    with pytest.raises(DataError, match="each of 50 examples whether it is one, got 3 values"):
        outliers.detect(model, data, data, data, rate=0.1, outlier=torch.ones(3).bool())
    with pytest.raises(DataError, match="only outliers"):
        outliers.detect(model, data, data, data, rate=0.1, outlier=torch.ones(50).bool())
    model.posterior = lb.Deterministic(lb.MLP(5, (), 2), 2)
    with pytest.raises(ConfigurationError, match="posterior with a density"):
        outliers.detect(model, data, data, data, scores=["typicality"], rate=0.1)
    found = outliers.detect(model, data, data, data, rate=0.1, samples=1)
    assert [*found.scores] == ["reconstruction", *TRIVIAL]
    assert outliers.chosen(model, ["level", "all"])[:2] == ["level", "reconstruction"]


def test_scores_of_a_model_with_draws_of_its_weights():
    model, W = linear_gaussian()
    decoders = [model.likelihood.state_dict()]
    for _ in range(4):
        moved = {name: w + 0.1 * torch.randn_like(w) for name, w in decoders[0].items()}
        decoders.append(moved)
    single = model.likelihood
    model.likelihood = lb.WeightDraws.of(single, decoders)
    data, train = draw(W, 60), draw(W, 60)
    found = outliers.detect(model, data, train, train, scores=OF_DRAWS, rate=0.1, samples=5)
    assert set(outliers.chosen(model, ["all"])) == set(SCORES)
    assert outliers.chosen(model, ["all"])[0] == "entropy"
    ll = lb.evaluation.weight_log_likelihoods(model, data, samples=5)
    torch.testing.assert_close(found.scores["disagreement"], outliers.disagreement(ll))
    assert [*outliers.detect(model, data, train, train, rate=0.1).scores] == ["entropy", *TRIVIAL]
    z = model.embed(data.x)
    each = [
        torch.func.functional_call(single, weights, (z,)).base_dist.log_prob(data.x)
        for weights in decoders
    ]
    expected = math.log(5) - torch.stack(each).double().logsumexp(0)
    costs = outliers.column_costs(model, data)
    torch.testing.assert_close(costs, expected.detach(), rtol=1e-5, atol=1e-5)


def test_without_training_examples_scores_are_fitted_to_half_of_the_inliers(caplog):
    model, W = linear_gaussian()
    with caplog.at_level("INFO", "lowerbound"):
        found = outliers.detect(model, draw(W, 9), draw(W, 41), samples=1)
    assert (found.inliers, found.rate) == (20, 0.05)
    assert "up to p = 0.05, not 0.01: against 20 held-out inliers" in caplog.text


def test_the_costliest_column_is_the_one_that_was_changed():
    torch.manual_seed(0)
    n = 300
    height = torch.randn(n)
    kinds = torch.where(torch.rand(n) < 0.5, 0.0, 1.0)
    x = torch.stack((height, height + 0.1 * torch.randn(n), kinds, torch.randn(n)), 1)
    x[3, 3] = math.nan
    schema = (
        Field("height", "real"),
        Field("span", "real"),
        Field("kind", "categories", categories=("a", "b", "c")),
        Field("noise", "real"),
    )
    table = Dataset(x, name="people", schema=schema, missing=True)
    model = lb.recipes.mlp(table, latent_dim=1, hidden=(8,)).model.eval()
    costs = outliers.column_costs(model, table)
    assert costs.shape == (n, 4)
    assert costs[3, 3] == 0
    prepared, _ = model.prepare(x)
    z = model.posterior(prepared, None).mean
    total = -model.likelihood(z).log_prob(prepared)
    torch.testing.assert_close(costs.sum(1), total.detach().double(), rtol=1e-4, atol=1e-4)
    told: list[torch.Tensor] = []
    sums = [columns.column_sums(model, block, told.append) for block in (table, table)]
    assert torch.equal(torch.cat(told), costs.repeat(2, 1))
    assert [score.observed for score in columns.scored(model, sums)] == [2 * n] * 3 + [2 * n - 2]
    scores = outliers.column_scores(model, table)
    assert [score.name for score in scores] == ["height", "span", "kind", "noise"]
    assert [score.observed for score in scores] == [n, n, n, n - 1]
    assert [score.sigma is None for score in scores] == [False, False, True, False]
    assert scores[2].cost.value == pytest.approx(costs[:, 2].mean().item())
    deviation = x[:, 1].std().log().item()
    assert scores[1].cost.value == pytest.approx(costs[:, 1].mean().item() + deviation, abs=1e-4)
    odd = x[:2].clone()
    odd[0, 1], odd[1, 2], odd[1, 3] = 50.0, 2.0, math.nan
    found = outliers.explain(model, Dataset(odd, schema=schema, missing=True), table, most=2)
    assert (found[0].columns[0], found[0].values[0]) == ("span", 50.0)
    assert (found[1].columns[0], found[1].values[0]) == ("kind", "c")
    assert str(found[1]).startswith("kind = c (+")
    assert len(found[1].columns) == 2
    assert "missing" not in str(found[1])


def test_columns_have_costs_and_sigmas_in_their_own_units():
    model, W = linear_gaussian()
    x = draw(W, 50).x
    plain = outliers.column_scores(model, Dataset(x))
    model.transform = lb.Standardise((0.0,) * 5, (1000.0, 1.0, 1.0, 1.0, 1.0))
    unit = torch.tensor([1000.0, 1.0, 1.0, 1.0, 1.0])
    scaled = outliers.column_scores(model, Dataset(x * unit))
    assert [score.sigma for score in plain] == pytest.approx([SIGMA] * 5)
    assert [score.sigma for score in scaled] == pytest.approx([1000 * SIGMA] + [SIGMA] * 4)
    shifts = [b.cost.value - a.cost.value for a, b in zip(plain, scaled, strict=True)]
    assert shifts == pytest.approx([math.log(1000), 0, 0, 0, 0], abs=1e-4)
    with pytest.raises(ConfigurationError, match="expected a model of rows, got one of examples"):
        outliers.column_scores(lb.recipes.mlp(torch.rand(9, 1, 4, 4)).model, torch.rand(9, 1, 4, 4))


class Largest(TorchDispatchMode):
    """The most elements that any tensor made within has."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.elements = max(self.elements, made.numel())
        return made


def test_columns_are_scored_a_batch_at_a_time_without_keeping_it(monkeypatch):
    monkeypatch.setattr("lowerbound.evaluation.walk.IMAGES_PER_BATCH", 7)
    model, W = linear_gaussian()
    data = draw(W, 200)
    costs = outliers.column_costs(model, data)
    with Largest() as largest:
        scores = outliers.column_scores(model, data)
    assert largest.elements < costs.numel()
    assert [score.observed for score in scores] == [200] * 5
    for found, cost in zip(scores, costs.T, strict=True):
        assert found.cost.value == pytest.approx(cost.mean().item())
        assert found.cost.standard_error == pytest.approx(cost.std().item() / 200**0.5)
    data.x[3, 2] = 1e30
    lost = outliers.column_scores(model, data)[2].cost
    assert (lost.value, lost.standard_error) == (math.inf, math.inf)


def exact_costs(W, x, sigma):
    """−log p(xⱼ|x₋ⱼ) where x = Wz + σε."""
    precision = (W @ W.T + sigma**2 * torch.eye(len(W))).double().inverse()
    away = x.double() @ precision / precision.diagonal()
    return -torch.distributions.Normal(0, precision.diagonal().rsqrt()).log_prob(away)


def test_a_cell_left_out_costs_what_it_does_given_the_others(monkeypatch):
    monkeypatch.setattr(cells, "DRAWS", 3000)
    model, W = linear_gaussian()
    data = draw(W, 40)
    rows, places = torch.ones(40, 5).index_fill(1, torch.tensor([1, 2]), 0).nonzero(as_tuple=True)
    told: list[tuple[int, int]] = []
    found = left_out_costs(model, data, rows, places, lambda *now: told.append(now))
    assert (found - exact_costs(W, data.x, SIGMA)[rows, places]).abs().max() < 0.1
    assert told[-1] == (120, 120)
    monkeypatch.setattr("lowerbound.evaluation.walk.IMAGES_PER_BATCH", 7)
    in_batches = left_out_costs(model, data, rows, places)
    assert (found - in_batches).abs().max() < 0.2
    model.posterior = lb.Deterministic(lb.MLP(5, (), 2), 2)
    assert left_out_costs(model, data, rows, places) is None


def test_a_column_on_its_own_is_no_stranger_in_ordinary_rows_than_others():
    """Each is compared with what it usually costs given the others, not at the code of its row."""
    sigma, W = 0.1, torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    precision = W.square().sum(0) / sigma**2 + 1
    encoder, decoder = lb.MLP(4, (), 4), lb.MLP(2, (), 4)
    weights = torch.cat((W.T / sigma**2 / precision.unsqueeze(1), torch.zeros(2, 4)))
    set_linear(encoder, weights, torch.cat((torch.zeros(2), -precision.log())))
    set_linear(decoder, W, torch.zeros(4))
    likelihood = lb.Gaussian(decoder, (4,), sigma=sigma)
    model = lb.VAE(lb.StandardNormal(2), lb.DiagonalGaussian(encoder, 2), likelihood)
    torch.manual_seed(0)
    train, ordinary = (torch.randn(n, 2) @ W.T + sigma * torch.randn(n, 4) for n in (2000, 400))
    found = outliers.explain(model, ordinary, train, most=4)
    named = [dict(zip(costs.columns, costs.nats, strict=True)) for costs in found]
    nats = torch.tensor([[each[f"x{i}"] for i in range(4)] for each in named])
    assert nats.median(0).values.abs().max() < 0.25
    exact = exact_costs(W, ordinary, sigma) - exact_costs(W, train, sigma).median(0).values
    first = (given.argmax(1).bincount(minlength=4) / 400 for given in (nats, exact))
    torch.testing.assert_close(*first, rtol=0, atol=0.08)


def test_an_absurd_cell_is_named_whatever_it_does_to_the_code_of_its_row():
    model, W = linear_gaussian()
    rows, train = draw(W, 60), draw(W, 500)
    place = torch.arange(60) % 5
    x = rows.x + 40 * torch.nn.functional.one_hot(place, 5) * train.x.std(0)
    found = outliers.explain(model, x, train)
    named = [int(costs.columns[0].removeprefix("x")) for costs in found]
    assert named == place.tolist()


def test_an_absurd_cell_is_named_where_its_code_follows_it(monkeypatch):
    """Its cost at that code is the lowest; so it is suspected for being far from the median."""
    model, W = linear_gaussian()
    rows, train = draw(W, 20), draw(W, 300)
    place = torch.arange(20) % 5
    is_absurd = torch.nn.functional.one_hot(place, 5)
    x = rows.x + 40 * is_absurd * train.x.std(0)
    costs = {20: -is_absurd.double(), 300: torch.zeros(300, 5).double()}
    monkeypatch.setattr(explanation, "column_costs", lambda model, data: costs[len(data)])
    monkeypatch.setattr(explanation, "ALL", 4)
    monkeypatch.setattr(explanation, "SPARE", 0)
    found = outliers.explain(model, x, train, most=2)
    assert [int(each.columns[0].removeprefix("x")) for each in found] == place.tolist()
    costs = outliers.Costs(("a", "b", "c"), (1.0, 2.0, "d"), (-1.0, -2.0, 3.0))
    assert str(costs) == "a = 1 (-1.0), c = d (+3.0)"


def test_a_column_that_is_mostly_missing_is_judged_by_the_cells_that_it_has(monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(200, 3)
    x[9:, 2] = math.nan
    schema = tuple(Field(name, "real") for name in "abc")
    table = Dataset(x, name="t", schema=schema, missing=True)
    model = lb.recipes.mlp(table, latent_dim=1, hidden=(4,)).model.eval()
    costs = outliers.column_costs(model, table)
    median = costs[:9, 2].median()
    monkeypatch.setattr(explanation, "left_out_costs", lambda *given: None)
    (first, *_) = outliers.explain(model, table.take(1), table)
    nats = dict(zip(first.columns, first.nats, strict=True))
    assert nats["c"] == pytest.approx((costs[0, 2] - median).item())
    assert outliers.explain(model, table.subset([100]), table)[0].columns.count("c") == 0
    monkeypatch.setattr("lowerbound.outliers.columns.REFERENCE", 50)
    assert len(outliers.columns.some_of(table)) == 50
    assert len(outliers.explain(model, table, table)) == 200


def test_images_by_the_command(run, trained, tmp_path):  # noqa: F811
    test = lb.data.load("digits").test
    x = test.x[:60].clone()
    x[:10] = 255 - x[:10]
    np.savez(tmp_path / "x.npz", x=x.numpy(), strange=np.arange(60) < 10)
    out = tmp_path / "scores.csv"
    command = (
        "outliers",
        trained,
        "--data",
        tmp_path / "x.npz",
        "--out",
        out,
        "--samples",
        2,
        "-f",
    )
    (tmp_path / "scores.png").touch()
    code, text, err = run(*command[:-1], "--labels", "strange", "--score", "lpath-ecod")
    assert (code, "scores.png, which exists" in err) == (4, True)
    code, text, err = run(*command, "--labels", "strange", "--score", "lpath-ecod")
    assert code == 0
    assert "60 examples; p-values against 360 held-out inliers" in text
    assert "AUROC" in text
    assert Image.open(tmp_path / "scores.png").width > 100
    with out.open() as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 60
    assert {"example", "lpath_ecod", "lpath_ecod_p", "level_p", "size"} <= set(rows[0])
    found = json.loads(run(*command, "--json")[1])
    assert [*found["flagged"]] == ["excess", *TRIVIAL]
    assert found["separation"] is None
    assert found["strangest"][0]["example"] < 10
    for more, told in (
        (("--rate", 0.001), "held-out inliers"),
        (("--score", "waic"), "draws of its weights"),
        (("--outlier", "1"), "--labels"),
        (("--data", "mnist"), "shape"),
        (("--out", tmp_path / "scores.txt"), ".csv"),
    ):
        code, _, err = run(*command, *more)
        assert code in (2, 3)
        assert err.count("error: ") == 1
        assert told in err


def test_rows_by_the_command(run, tmp_path):  # noqa: F811
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    lines = [f"{x:.4f},{2 * x + 0.1 * e:.4f}" for x, e in zip(a, rng.normal(size=400), strict=True)]
    (tmp_path / "train.csv").write_text("\n".join(["a,b", *lines]))
    lines = ["b,a,kind", *(f"{2 * x:.4f},{x:.4f},fine" for x in a[:9]), "-50,25,broken"]
    (tmp_path / "new.csv").write_text("\n".join(lines))
    train = ("train", "linear", "--data", tmp_path / "train.csv", "--out", tmp_path / "r", "-q")
    assert run(*train, "--set", "latent_dim=1", "--set", "epochs=3", "--test", 0.25)[0] == 0
    command = ("outliers", tmp_path / "r", "--data", tmp_path / "new.csv", "--rate", 0.05)
    command += ("--out", tmp_path / "s.csv", "--labels", "kind", "--samples", 2)
    code, _, err = run(*command)
    assert (code, err.count("error: ")) == (2, 1)
    assert "broken, fine; name the outliers' class with --outlier" in err
    code, _, err = run(*command, "--outlier", "brocken")
    assert (code, err.count("error: ")) == (2, 1)
    code, text, err = run(*command, "--outlier", "broken")
    assert code == 0
    assert "      9   p = 0.0099   a = 25 (+" in text
    assert not (tmp_path / "s.png").exists()
    # Without --inliers none would be left of a model that the library saved.
    lb.save(lb.load(tmp_path / "r"), tmp_path / "m")
    own = ("outliers", tmp_path / "m", "--data", tmp_path / "new.csv", "--out", tmp_path / "m.csv")
    code, _, err = run(*own)
    assert code == 3
    assert "--inliers" in err
    belong = ("--inliers", tmp_path / "train.csv", "--samples", 2)
    assert "200 held-out inliers" in run(*own, *belong)[1]
