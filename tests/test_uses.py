"""Clustering, classification and outlier scores, where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import lowerbound as lb
from documents.slides import codes as uses
from lowerbound import evaluation, plots
from lowerbound.data import Dataset, Field


def blobs(n: int, spread: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes around three corners."""
    labels = torch.arange(n) % 3
    corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    return corners[labels] + spread * torch.randn(n, 2), labels


@pytest.mark.parametrize("method", ["k-means", "mixture"])
def test_clusters_are_the_classes_where_these_lie_apart(method):
    codes, labels = blobs(300)
    found = uses.cluster(codes, labels, 3, method=method)
    assert found.adjusted_rand == pytest.approx(1)
    assert found.mutual_information == pytest.approx(1)
    for index in range(3):
        mean = codes[found.assignment == index].mean(0)
        torch.testing.assert_close(found.centres[index], mean, rtol=1e-3, atol=1e-3)


def test_clusters_agree_with_nothing_where_labels_are_random():
    codes, _ = blobs(3000)
    found = uses.cluster(codes, torch.randint(0, 3, (3000,)), 3)
    assert found.adjusted_rand == pytest.approx(0, abs=0.01)
    assert found.mutual_information == pytest.approx(0, abs=0.01)


def test_accuracy_of_both_classifiers():
    train, train_labels = blobs(300)
    test, test_labels = blobs(99)
    wrong = test_labels.clone()
    wrong[:33] = (wrong[:33] + 1) % 3
    for classifier in ("nearest", "linear"):
        right = uses.accuracy(train, train_labels, test, test_labels, classifier=classifier)
        assert right.value == 1
        some = uses.accuracy(train, train_labels, test, wrong, classifier=classifier)
        assert some.value == pytest.approx(2 / 3)
        assert some.standard_error == pytest.approx(math.sqrt(2 / 9 / 99))


def test_nearest_neighbours_follow_a_ring_and_the_linear_classifier_does_not():
    z = torch.randn(2000, 2)
    labels = (z.norm(dim=1) > 1.2).long()
    halves = (z[:1000], labels[:1000], z[1000:], labels[1000:])
    assert uses.accuracy(*halves, classifier="nearest").value > 0.95
    assert uses.accuracy(*halves, classifier="linear").value < 0.7


def test_principal_codes_keep_the_directions_of_highest_variance():
    x = torch.randn(500, 3) * torch.tensor([1.0, 5.0, 0.1])
    (codes,) = uses.principal_codes(x, x[:50], dimensions=1)
    expected = x[:50, 1] - x[:, 1].mean()
    torch.testing.assert_close(codes[:, 0].abs(), expected.abs(), rtol=0.05, atol=0.1)


def grey(n: int) -> Dataset:
    x = torch.randint(0, 256, (n, 1, 4, 4), dtype=torch.uint8)
    return Dataset(x, name="grey", schema=(Field("x", "grey", (1, 4, 4)),))


def test_example_scores_average_to_the_evaluation():
    some = grey(700)
    model = lb.recipes.mlp(some, latent_dim=2, hidden=(8,), likelihood="Bernoulli").model
    result = evaluation.evaluate(model, some, samples=3, seed=2)
    terms = evaluation.example_scores(model, some, samples=3, seed=2)
    worth, curve = terms.pop("effective_samples"), terms.pop("curve")
    assert worth.median().item() == pytest.approx(result.effective_samples.median)
    assert curve.mean(0).tolist() == pytest.approx([p.bound.value for p in result.curve], rel=1e-5)
    for name, column in terms.items():
        assert column.shape == (700,)
        assert column.mean().item() == pytest.approx(getattr(result, name).value, rel=1e-5)


def test_grey_entropy_is_the_least_cost_under_a_bernoulli_likelihood():
    some = grey(5)
    x = some.x.float() / 255
    p = torch.distributions.Bernoulli(probs=x.clamp(1e-6, 1 - 1e-6), validate_args=False)
    torch.testing.assert_close(
        evaluation.grey_entropy(some), -p.log_prob(x).flatten(1).sum(1), rtol=1e-3, atol=1e-3
    )
    schema = (Field("x", "grey", (1, 4, 4)),)
    black = Dataset(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), schema=schema)
    assert evaluation.grey_entropy(black).tolist() == [0, 0]


def test_bars_fall_and_carry_their_names_and_figures():
    values = np.array([0.5, 2.0, 1.0])
    figure = plots.ranked_bars(values, ["a", "b", "c"], ylabel="v", chosen=1)
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [2.0, 1.0, 0.5]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["b", "c", "a"]
    assert [text.get_text() for text in axes.texts] == ["2.00", "1.00", "0.50"]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()


@pytest.mark.parametrize("logx", [False, True])
def test_histograms_hold_every_example(logx):
    near, far = np.linspace(1, 2, 1000), np.linspace(5, 60, 500)
    figure = plots.score_histograms(
        {"a": {"near": near, "far": far}, "b": {"far": far}}, xlabel="nats", logx=logx
    )
    first, second = figure.axes
    heights = [patch.get_height() for patch in first.patches]
    assert sum(heights) == pytest.approx(2)
    assert sum(patch.get_height() for patch in second.patches) == pytest.approx(1)


def test_histograms_of_nothing_and_logarithms_of_nought_are_refused():
    with pytest.raises(lb.errors.ConfigurationError, match="at least one set"):
        plots.score_histograms({"a": {}}, xlabel="nats")
    with pytest.raises(lb.errors.ConfigurationError, match="positive scores"):
        plots.score_histograms({"a": {"b": np.zeros(3)}}, xlabel="n", logx=True)
