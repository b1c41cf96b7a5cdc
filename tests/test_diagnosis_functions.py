"""A user's own loss, KL and draws: each known fault is planted, found and named, with its number.

docs/diagnose.md lists them; those of the course documents are in documents/misprints.md too.
"""

from __future__ import annotations

import math
from html import escape

import pytest
import torch
import torch.nn.functional as F

import lowerbound as lb
from documents.problem_set import interface as problem_set
from lowerbound.diagnosis.formulas import SCALES, kl_formulas, reconstruction_formulas

SHAPE, LATENT, BATCH = (64,), 8, 13
SIZES = {"shape": SHAPE, "latent_dim": LATENT}
LOG_2PI = math.log(2 * math.pi)


def bce(y, x):
    return F.binary_cross_entropy(y, x, reduction="none").sum(1).mean()


def logits(y, x):
    return F.binary_cross_entropy_with_logits(y, x, reduction="none").sum(1).mean()


def squares(y, x):
    return ((x - y) ** 2).sum(1).mean()


def kl(m, v):
    return -0.5 * (1 + v - m**2 - v.exp()).sum(1).mean()


HEALTHY = {
    "mean over the batch": (lambda y, x, m, v: bce(y, x) + kl(m, v), {}),
    "sum over the batch": (
        lambda y, x, m, v: F.binary_cross_entropy(y, x, reduction="sum") + BATCH * kl(m, v),
        {},
    ),
    "one value per example": (
        lambda y, x, m, v: (
            F.binary_cross_entropy(y, x, reduction="none").sum(1)
            - 0.5 * (1 + v - m**2 - v.exp()).sum(1)
        ),
        {},
    ),
    "divided as a whole": (lambda y, x, m, v: (bce(y, x) + kl(m, v)) / 64, {}),
    "logits": (lambda y, x, m, v: logits(y, x) + kl(m, v), {"decoder": "logits"}),
    "σ = 1": (lambda y, x, m, v: 0.5 * squares(y, x) + kl(m, v), {"decoder": "means"}),
    "σ² = ½": (lambda y, x, m, v: squares(y, x) + kl(m, v), {"decoder": "means"}),
    "normalised": (
        lambda y, x, m, v: 0.5 * squares(y, x) + 32 * LOG_2PI + kl(m, v),
        {"decoder": "means"},
    ),
    "log σ": (lambda y, x, m, s: bce(y, x) + kl(m, 2 * s), {"scale": "log_sigma"}),
    "σ": (lambda y, x, m, s: bce(y, x) + kl(m, 2 * s.log()), {"scale": "sigma"}),
    "β = 4, asked for": (lambda y, x, m, v: bce(y, x) + 4 * kl(m, v), {"beta": 4.0}),
    "an autoencoder, asked for": (lambda y, x, m, v: bce(y, x), {"beta": 0.0}),
    "a tuple, loss first": (lambda y, x, m, v: (bce(y, x) + kl(m, v), bce(y, x)), {}),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_right_losses_are_silent(name):
    loss, arguments = HEALTHY[name]
    assert lb.diagnose_loss(loss, **SIZES, **arguments) == []


# What is planted, what finds it, its number, and words that name it.
FAULTY = {
    "mean over pixels": (
        lambda y, x, m, v: F.binary_cross_entropy(y, x) + kl(m, v),
        ("loss-weight", 64, "averaged over the 64 elements"),
    ),
    "squared error, mean over pixels": (
        lambda y, x, m, v: F.mse_loss(y, x) + kl(m, v),
        ("loss-weight", 64, "averaged over the 64 elements"),
    ),
    "mean over pixels and latent dimensions": (
        lambda y, x, m, v: F.binary_cross_entropy(y, x) + kl(m, v) / LATENT,
        ("loss-weight", 8, "the 64 elements of x and the KL over the 8"),
    ),
    "magic weight": (
        lambda y, x, m, v: F.mse_loss(y, x) + 0.00025 * kl(m, v),
        ("loss-weight", 0.016, "0.00025"),
    ),
    "KL without its half": (
        lambda y, x, m, v: bce(y, x) + 2 * kl(m, v),
        ("loss-weight", 2, "lacks its factor ½"),
    ),
    "KL averaged over dimensions": (
        lambda y, x, m, v: bce(y, x) + kl(m, v) / LATENT,
        ("loss-weight", 1 / 8, "averaged over the 8 latent dimensions"),
    ),
    "KL summed over the batch": (
        lambda y, x, m, v: bce(y, x) + BATCH * kl(m, v),
        ("loss-weight", 13, "KL is summed over the batch"),
    ),
    "reconstruction summed over the batch": (
        lambda y, x, m, v: BATCH * bce(y, x) + kl(m, v),
        ("loss-weight", 1 / 13, "reconstruction is summed over the batch"),
    ),
    "no KL": (lambda y, x, m, v: bce(y, x), ("kl-missing", 0, "autoencoder")),
    "no reconstruction": (lambda y, x, m, v: kl(m, v), ("reconstruction-missing", 0, "no rec")),
    "KL with the wrong sign": (
        lambda y, x, m, v: bce(y, x) - kl(m, v),
        ("kl-sign", -1, "∫ q log(p/q)"),
    ),
    "log-likelihood minimised": (
        lambda y, x, m, v: -bce(y, x) + kl(m, v),
        ("reconstruction-sign", -1, "worse"),
    ),
    "log σ² taken for log σ": (
        lambda y, x, m, v: bce(y, x) + kl(m, 2 * v),
        ("kl-formula", 0.5 * (16 + 0.25 - 1 - 4 * math.log(2)), "for log σ, but that is log σ²"),
    ),
    "exp(2h) beside h": (
        lambda y, x, m, v: bce(y, x) + 0.5 * ((2 * v).exp() + m**2 - 1 - v).sum(1).mean(),
        ("kl-formula", 0.5 * (16 + 0.25 - 1 - 2 * math.log(2)), "exp(2h) beside h"),
    ),
    "sigmoid twice": (
        lambda y, x, m, v: logits(y, x) + kl(m, v),
        ("reconstruction-formula", 0.01, "sigmoid is taken twice"),
    ),
    "problem set, r_loss": (
        lambda y, x, m, v: -(y * x.log() + (1 - y) * (1 - x).log()).sum(1).mean() + kl(m, v),
        ("reconstruction-formula", 0.01, "on x, the ground truth"),
    ),
    "problem set, KL": (
        lambda y, x, m, v: bce(y, x) + (m**2 + v.exp() - v / 2 - 0.5).sum(1).mean(),
        ("kl-formula", 0.25 + 4 - math.log(2) - 0.5, "lacks the ½"),
    ),
    "assignment, KL": (
        lambda y, x, m, v: bce(y, x) - 0.5 * (1 + v / 2 - (v / 2).exp() - m**2).sum(1).mean(),
        ("kl-formula", -0.5 * (1 + math.log(2) - 2 - 0.25), "σ where σ² is meant"),
    ),
    "slides, a sign lost": (
        lambda y, x, m, v: (
            bce(y, x)
            + (-0.5 * (1 + LOG_2PI + v) + LOG_2PI / 2 - 0.5 * (v.exp() + m**2)).sum(1).mean()
        ),
        ("kl-formula", -0.5 * (1 + 2 * math.log(2) + 4 + 0.25), "the second term is lost"),
    ),
    "slides, the other sign lost": (
        lambda y, x, m, v: bce(y, x) + kl(m, v) - LATENT * LOG_2PI,
        ("loss-constant", -LATENT * LOG_2PI, "½ log 2π"),
    ),
    "no formula at all": (
        lambda y, x, m, v: (x - y).abs().sum(1).mean() + kl(m, v),
        ("loss-unknown", None, "neither"),
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_each_planted_fault_of_a_loss_is_found(name):
    loss, (found, number, words) = FAULTY[name]
    (finding,) = lb.diagnose_loss(loss, **SIZES)
    assert finding.name == found
    assert words in finding.sentence
    if number is not None:
        assert finding.number == pytest.approx(number, rel=1e-3, abs=1e-3)
    assert finding.picture().axes


def test_a_kl_where_none_is_wanted():
    (finding,) = lb.diagnose_loss(lambda y, x, m, v: bce(y, x) + kl(m, v), **SIZES, beta=0.0)
    assert (finding.name, round(finding.number, 3)) == ("loss-weight", 1)


def test_two_faults_are_two_findings():
    def loss(y, x, m, v):
        return F.binary_cross_entropy(y, x) - kl(m, v)

    names = [finding.name for finding in lb.diagnose_loss(loss, **SIZES)]
    assert names == ["kl-sign", "loss-weight"]


def test_findings_print_and_show_in_a_notebook_one_below_the_other():
    findings = lb.diagnose_loss(lambda y, x, m, v: -bce(y, x) - kl(m, v), **SIZES)
    assert len(findings) > 1
    assert str(findings) == "\n".join(str(finding) for finding in findings)
    assert findings._repr_html_() == f"<pre>{escape(str(findings))}</pre>"
    assert str(lb.diagnose_kl(kl)) == "nothing found"
    assert repr(lb.diagnose_kl(kl)) == "[]"


def test_the_slides_table_in_two_units():
    """784·BCE + KL beside plain BCE: the second is 1/784 of a sum, and no loss of a VAE."""
    findings = lb.diagnose_loss(lambda y, x, m, v: F.binary_cross_entropy(y, x) + kl(m, v))
    assert [finding.number for finding in findings] == [pytest.approx(784, rel=1e-4)]
    right = lb.diagnose_loss(lambda y, x, m, v: 784 * F.binary_cross_entropy(y, x) + kl(m, v))
    assert right == []


PAIRS = {
    "lab, eq. 1": (
        lambda m1, a, m2, b: (a / b).log() + (b**2 + (m1 - m2) ** 2) / (2 * a) - 0.5,
        ("kl-formula", 0.5, "2σ where 2σ² is meant"),
    ),
    "lab, eq. 1, first and second swapped": (
        lambda m1, a, m2, b: (b / a).log() + (a**2 + (m1 - m2) ** 2) / (2 * b) - 0.5,
        ("kl-formula", 0.5, "2σ where 2σ² is meant"),
    ),
    "a sign lost": (
        lambda m1, a, m2, b: (b / a).log() - 0.5 - (a**2 + (m1 - m2) ** 2) / (2 * b**2),
        ("kl-formula", -1, "sign of the square is lost"),
    ),
    "reversed integral": (
        lambda m1, a, m2, b: 0.5 - (b / a).log() - (a**2 + (m1 - m2) ** 2) / (2 * b**2),
        ("kl-sign", -1, "∫ q log(p/q)"),
    ),
    "without −½": (
        lambda m1, a, m2, b: (b / a).log() + (a**2 + (m1 - m2) ** 2) / (2 * b**2),
        ("loss-constant", 4.0, "−½ of the KL is lost"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_each_planted_fault_of_a_gaussian_kl_is_found(name):
    terms, (found, number, words) = PAIRS[name]

    def kl(mean_1, sigma_1, mean_2, sigma_2):
        return terms(mean_1, sigma_1, mean_2, sigma_2).sum(1)

    (finding,) = lb.diagnose_kl(kl, latent_dim=LATENT, scale="sigma")
    assert finding.name == found
    assert finding.number == pytest.approx(number, abs=1e-3)
    assert words in finding.sentence


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1 / LATENT, f"averaged over the {LATENT} latent dimensions"),
        (2, "lacks its factor ½"),
        (BATCH / 2, "its factor ½ is there twice"),
        (1 / BATCH, "averaged over the batch twice"),
        (0.1, "is 0.1 times what it should be."),
    ],
)
def test_a_kl_alone_is_not_told_of_a_reconstruction(factor, words):
    (finding,) = lb.diagnose_kl(lambda m, v: factor * kl(m, v), latent_dim=LATENT)
    assert finding.name == "kl-factor"
    assert words in finding.sentence
    assert "econstruction" not in str(finding)
    assert finding.picture().axes


def test_right_kls_are_silent():
    assert lb.diagnose_kl(lambda m, v: kl(m, v)) == []
    assert lb.diagnose_kl(lambda m, v: kl(m, v) * BATCH) == []

    def pair(mean_1, sigma_1, mean_2, sigma_2):
        return lb.divergences.univariate_gaussian_kl(mean_1, sigma_1, mean_2, sigma_2).sum(1)

    assert lb.diagnose_kl(pair, scale="sigma") == []
    ours = problem_set.VAE(2, 2, LATENT, 3).kl_loss
    assert lb.diagnose_kl(ours, latent_dim=LATENT, scale="sigma") == []


@pytest.mark.parametrize("scale", SCALES)
def test_right_formulas_are_right(scale):
    """Against torch, whatever the second argument is; no wrong one is a multiple of the right."""
    m, v = torch.randn(50, 3, dtype=torch.float64), torch.randn(50, 3, dtype=torch.float64)
    q = torch.distributions.Normal(m, (v / 2).exp())
    p = torch.distributions.Normal(v, (m / 2).exp())
    unit = torch.distributions.Normal(torch.zeros_like(m), 1.0)
    divergence = torch.distributions.kl_divergence
    right, *wrong = kl_formulas(scale)
    s, t = SCALES[scale].stated(v), SCALES[scale].stated(m)
    torch.testing.assert_close(right.value(m, s), divergence(q, unit).sum(1))
    pair, *others = kl_formulas(scale, pair=True)
    torch.testing.assert_close(pair.value(m, s, v, t), divergence(q, p).sum(1))
    for formula in wrong:
        ratio = formula.value(m, s) / right.value(m, s)
        assert not ratio.std() < 0.01
    for formula in others:
        ratio = formula.value(m, s, v, t) / pair.value(m, s, v, t)
        assert not ratio.std() < 0.01


def test_right_reconstructions_are_right():
    x, y = torch.rand(9, 5, dtype=torch.float64), torch.randn(9, 5, dtype=torch.float64)
    expected = F.binary_cross_entropy_with_logits(y, x, reduction="none").sum(1)
    by_logit = reconstruction_formulas("logits")[0].value(y, x)
    by_probability = reconstruction_formulas("probabilities")[0].value(y.sigmoid(), x)
    torch.testing.assert_close(by_logit, expected)
    torch.testing.assert_close(by_probability, expected)


DRAWS = {
    "assignment": (
        lambda m, v: m + v.exp() * 0.1 * torch.randn_like(m),
        ("draws-deviation", 0.1 * math.exp(-1.5), "standard deviation 0.1 and is scaled by exp(h)"),
    ),
    "lab, log-std used as log-variance": (
        lambda m, v: m + v.exp() * torch.randn_like(m),
        ("draws-deviation", math.exp(-1.5), "taken for log σ, but it is log σ²"),
    ),
    "no noise": (lambda m, v: m + 0 * v, ("draws-deviation", 0, "no noise")),
    "uniform noise": (
        lambda m, v: m + (v / 2).exp() * (torch.rand_like(m) - 0.5) * 12**0.5 + 0.5,
        ("draws-mean", 1.2, "mean"),
    ),
}


@pytest.mark.parametrize("name", DRAWS)
def test_each_planted_fault_of_draws_is_found(name):
    draw, (found, number, words) = DRAWS[name]
    findings = {finding.name: finding for finding in lb.diagnose_draws(draw)}
    assert findings[found].number == pytest.approx(number, rel=0.03, abs=1e-6)
    assert words in findings[found].sentence
    assert findings[found].picture().axes


def test_right_draws_are_silent_and_leave_the_generator_alone():
    before = torch.get_rng_state()
    for scale, sigma in {
        "log_variance": lambda s: (s / 2).exp(),
        "log_sigma": torch.exp,
        "sigma": lambda s: s,
        "variance": torch.sqrt,
    }.items():
        draw = lambda m, s, sigma=sigma: m + sigma(s) * torch.randn_like(m)  # noqa: E731
        assert lb.diagnose_draws(draw, scale=scale) == []
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_without_a_gradient():
    def draw(m, v):
        return torch.distributions.Normal(m, (v / 2).exp()).sample()

    (finding,) = lb.diagnose_draws(draw)
    assert (finding.name, finding.number) == ("draws-gradient", 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lb.diagnose_loss(lambda y, x: y), "to take 4 tensors"),
        (lambda: lb.diagnose_loss(lambda y, x, m, v: x), "one finite number"),
        (lambda: lb.diagnose_loss(lambda y, x, m, v: x.sum() / 0), "one finite number"),
        (lambda: lb.diagnose_kl(lambda m: m), "got 1 arguments"),
        (lambda: lb.diagnose_draws(lambda m: m), "two tensors"),
        (lambda: lb.diagnose_draws(lambda m, v: m[:2]), "of the shape of the mean"),
    ],
)
def test_functions_that_cannot_be_judged(call, message):
    with pytest.raises(lb.errors.ConfigurationError, match=message):
        call()


@pytest.mark.parametrize(
    "asked",
    [
        lambda: lb.diagnose_loss(lambda y, x, m, s: m.sum(), decoder="logit"),
        lambda: lb.diagnose_loss(lambda y, x, m, s: m.sum(), scale="log_var"),
        lambda: lb.diagnose_kl(lambda m, s: m.sum(), scale="log_var"),
        lambda: lb.diagnose_draws(lambda m, s: m, scale="log_var"),
    ],
)
def test_unknown_words_for_what_a_function_takes_are_refused(asked):
    with pytest.raises(lb.errors.ConfigurationError, match=r"expected \w+= one of .*log"):
        asked()
