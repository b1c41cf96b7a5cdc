"""What is missing, given what is observed, against conditionals that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_evaluation import SIGMA, draw, linear_gaussian
from torch import nn

import lowerbound as lb
from lowerbound import evaluation
from lowerbound.data import Dataset
from lowerbound.errors import ConfigurationError
from lowerbound.networks import FieldInputs, Given
from lowerbound.transforms import Codes, PerField

NAN = math.nan


def conditional(W: torch.Tensor, row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of the missing elements of N(0, WWᵀ + σ²I), given the others."""
    covariance = W @ W.T + SIGMA**2 * torch.eye(5)
    gone, seen = row.isnan(), ~row.isnan()
    gain = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, gone]).T
    return gain @ row[seen], covariance[gone][:, gone] - gain @ covariance[seen][:, gone]


def test_a_linear_model_has_the_conditional_mean_and_covariance():
    model, W = linear_gaussian(posterior_scale=1.5)
    x = draw(W, 4).x
    x[0, 1] = x[1, :3] = x[2, 3] = x[2, 4] = NAN
    found = evaluation.impute(model, x, draws=4000, samples=20_000)
    assert torch.equal(found.x[3], x[3])
    assert found.draws is not None
    for i in range(3):
        gone = x[i].isnan()
        mean, covariance = conditional(W, x[i])
        torch.testing.assert_close(found.x[i, gone], mean, atol=0.03, rtol=0)
        assert torch.equal(found.x[i, ~gone], x[i, ~gone])
        drawn = found.draws[:, i]
        assert torch.equal(drawn[:, ~gone], x[i, ~gone].expand(4000, -1))
        torch.testing.assert_close(
            torch.cov(drawn[:, gone].T).reshape(covariance.shape), covariance, atol=0.1, rtol=0.1
        )
    assert found.effective_samples.isnan().tolist() == [False] * 3 + [True]
    assert (found.effective_samples[:3] > 1000).all()


def mixed_model() -> lb.VAE:
    """Columns: one of three categories, and a number near the code's."""

    class Decoder(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.cat((2 * z, -z, 0 * z, 3 * z - 1), -1)

    columns = ((0,), (1,))
    families = (lb.Nominal(Given(), (1,), ("a", "b", "c")), lb.Gaussian(Given(), (1,), 0.5))
    torch.manual_seed(0)
    encoder = FieldInputs(lb.MLP(6, (4,), 2), (3, 0), missing=True)
    return lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(encoder, 1),
        lb.Heterogeneous(Decoder(), families, columns),
        PerField((Codes(), lb.Standardise((10.0,), (2.0,))), columns),
    )


def test_categories_and_numbers_are_those_of_the_posterior_by_quadrature():
    model = mixed_model()
    z = torch.linspace(-6, 6, 4001).unsqueeze(-1)
    log_z = -z[:, 0] ** 2 / 2
    p = torch.stack((2 * z[:, 0], -z[:, 0], 0 * z[:, 0]), -1).softmax(-1)
    x = torch.tensor([[NAN, 14.0], [1.0, NAN], [NAN, NAN]])
    normal = torch.distributions.Normal(3 * z[:, 0] - 1, 0.5)
    given_number = (log_z + normal.log_prob(torch.tensor(2.0))).softmax(0)
    given_category = (log_z + p[:, 1].log()).softmax(0)
    shares = (given_number[:, None] * p).sum(0)
    found = evaluation.impute(model, x, draws=4000, samples=20_000)
    assert found.x[0].tolist() == [shares.argmax(), 14.0]
    assert found.x[1, 0] == 1
    expected = 10 + 2 * (given_category * (3 * z[:, 0] - 1)).sum()
    assert found.x[1, 1].item() == pytest.approx(expected.item(), abs=0.1)
    assert found.x[2, 1].item() == pytest.approx(8, abs=0.1)
    assert found.draws is not None
    drawn = torch.bincount(found.draws[:, 0, 0].long(), minlength=3) / 4000
    torch.testing.assert_close(drawn, shares, atol=0.03, rtol=0)


def test_nothing_missing_is_left_as_it_is_and_seeds_repeat():
    model, W = linear_gaussian()
    data = draw(W, 3)
    assert torch.equal(evaluation.impute(model, data).x, data.x)
    x = data.x.numpy().copy()
    x[0, 0] = NAN
    one, two = (evaluation.impute(model, x, samples=10, seed=s).x for s in (3, 3))
    assert torch.equal(one, two)
    assert np.isfinite(one.numpy()).all()


def test_extreme_rows_are_filled_by_finite_numbers():
    model, W = linear_gaussian()
    x = draw(W, 2).x * 1e8
    x[:, 0] = NAN
    assert evaluation.impute(model, Dataset(x, missing=True), samples=10).x.isfinite().all()


def test_what_gives_elements_no_probability_of_their_own_is_refused():
    decoder = lb.MLP(2, (), 5)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(5, (), 4), 2),
        lb.Gaussian(decoder, (5,), sigma="optimal"),
    )
    with pytest.raises(ConfigurationError, match="every element a probability of its own"):
        evaluation.impute(model, torch.full((2, 5), NAN))
