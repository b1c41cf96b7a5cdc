"""Diagnosis of models: healthy ones are silent, each planted fault is found with its number.

Data are digits of 8×8, tables, and one exact case: p(z) = N(0, 1), p(x|z) = N(z, S²), with the
posterior N(x/(1 + S²), S²/(1 + S²)).
"""

from __future__ import annotations

import dataclasses
import math
import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

import lowerbound as lb
from lowerbound import recipes
from lowerbound.data import Dataset
from lowerbound.diagnosis import EXAMPLES, Check, examine, readings, shapes
from lowerbound.diagnosis.alternatives import Decoder, RoundedNormal
from lowerbound.diagnosis.codes import difference, mixture
from lowerbound.diagnosis.diagnose import CHECKS, checked
from lowerbound.diagnosis.finding import TABLE
from lowerbound.diagnosis.finding import found as found_in_words
from lowerbound.diagnosis.formulas import WRONG_KLS
from lowerbound.diagnosis.likelihood import is_surely_better
from lowerbound.diagnosis.thresholds import BETTER, HOLES, surely_above
from lowerbound.diagnosis.trained import Codes, TrainedModel, subset
from lowerbound.divergences import standard_normal_kl_terms
from lowerbound.evaluation import estimate
from lowerbound.evaluation.walk import judging
from lowerbound.networks.output import output_layer
from lowerbound.plots.diagnosis import PICTURES
from lowerbound.streams import Stream

PLAIN = lb.ELBO()
FAST = lb.Training(epochs=60, learning_rate=5e-3, schedule="cosine")
S = 0.5


@pytest.fixture(scope="module")
def digits():
    return lb.data.load("digits")


@pytest.fixture(scope="module")
def table():
    """x = zW + ε, z ∈ ℝ³, x ∈ ℝ¹⁰: training and test parts."""
    generator = torch.Generator().manual_seed(1)
    z, W = torch.randn(2000, 3, generator=generator), torch.randn(3, 10, generator=generator)
    x = z @ W + 0.5 * torch.randn(2000, 10, generator=generator)
    return Dataset(x[:1500]), Dataset(x[1500:])


def train(data, objective=PLAIN, training=FAST, **settings):
    """A small model of the mlp recipe, and its history."""
    torch.manual_seed(0)
    model = recipes.mlp(data, **{"hidden": (64,), "latent_dim": 4} | settings).model
    return model, lb.fit(model, data, objective=objective, training=training, callbacks=[])


def ask(check: str, model, test, known=None, history=(), objective=PLAIN) -> Check:
    """One check's answer."""
    with judging(model, 0, Stream.DIAGNOSE) as device:
        known = None if known is None else subset(known, 0)
        trained = TrainedModel(model, subset(test, 0), known, history, objective, device, 0)
        return checked(check, trained)


def names(findings) -> list[str]:
    return [finding.name for finding in findings]


@pytest.fixture(scope="module")
def grey():
    """Images of 6×6 grey levels drawn from a continuous Bernoulli model with z ∈ ℝ³."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        eta = 2 * torch.randn(2000, 3) @ torch.randn(3, 36)
        x = lb.distributions.ContinuousBernoulli(eta).rsample()
    images = (256 * x).clamp(max=255).to(torch.uint8).reshape(-1, 1, 6, 6)
    return Dataset(images[:1500]), Dataset(images[1500:])


@pytest.fixture(scope="module")
def continuous(grey):
    """A healthy model of them, and its history."""
    return train(grey[0], latent_dim=3)


# Healthy models.


def binary(data: Dataset) -> Dataset:
    return Dataset(((data.x > 100) * 255).to(torch.uint8))


def test_a_healthy_bernoulli_model_of_binary_digits_is_silent(digits):
    known, test = binary(digits.train), binary(digits.test)
    model, history = train(known)
    assert lb.diagnose(model, test, known, history) == []


def test_a_healthy_continuous_bernoulli_model_of_grey_levels_is_silent(grey, continuous):
    known, test = grey
    model, history = continuous
    model.train()
    weights = [p.clone() for p in model.parameters()]
    before = torch.get_rng_state()
    checks = examine(model, test, known, history)
    assert [check.name for check in checks if check.finding] == []
    assert not [check.name for check in checks if check.answer.startswith("not checked: there")]
    assert len({check.name for check in checks}) == len(checks) == 25
    # The model and torch's generator are left as they were.
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(map(torch.equal, weights, model.parameters()))


def test_a_healthy_gaussian_model_of_a_table_is_silent(table):
    known, test = table
    model, history = train(known, latent_dim=3)
    assert lb.diagnose(model, test, known, history) == []


def test_small_data_raise_no_alarm(grey, continuous):
    """Standard errors grow, thresholds do not: forty examples of a healthy model."""
    model, history = continuous
    few = grey[1].take(40)
    first, second = (examine(model, few, None, history) for _ in range(2))
    assert [check.name for check in first if check.finding] == []
    assert [check.answer for check in first] == [check.answer for check in second]


# Collapse.


def test_averaging_over_pixels_collapses_all_dimensions(digits):
    """Lab 11, C4: squared error averaged over pixels is a σ² of D/2."""
    model, history = train(
        digits.train,
        likelihood=partial(lb.Gaussian, sigma=math.sqrt(64 / 2)),
        training=lb.Training(epochs=5),
    )
    found = ask("collapsed-dimensions", model, digits.test).finding
    assert (found.severity, found.number) == ("fault", 4)
    low = ask("vanishing-kl", model, digits.test, history=history).finding
    assert (low.severity, low.number) == ("fault", 5)
    off = ask("decoder-noise", model, digits.test, digits.train).finding
    assert off.further["sigma"] == pytest.approx(math.sqrt(32))
    assert ask("kl-weight", model, digits.test, digits.train).finding is None
    both = ask("collapsed-dimensions", model, digits.test, objective=lb.ELBO(beta=4.0)).finding
    assert "and the objective weights the KL by 4: together they weight it by" in both.sentence
    # Both name the cause: σ² = 32 where squared errors are off.further["best sigma"]².
    implied = 32 / off.further["best sigma"] ** 2
    for each in (found, low):
        told = float(re.search(r"weights the KL by ([\d,]+)\.", each.sentence)[1].replace(",", ""))
        assert told == pytest.approx(implied, rel=0.05)
        assert "sigma" in each.code


def test_dimensions_that_do_not_pay_are_a_note(digits):
    """A σ of ½ is too coarse for eight dimensions of these digits."""
    model, _ = train(digits.train, latent_dim=8, likelihood=partial(lb.Gaussian, sigma=0.5))
    found = ask("collapsed-dimensions", model, digits.test).finding
    active = lb.evaluate(model, digits.test, samples=1).active_units
    assert 0 < active < 8
    assert (found.severity, found.number) == ("note", 8 - active)
    assert found.picture().axes
    one = found_in_words("collapsed-dimensions", "some", **found.measured | {"collapsed": 1})
    assert one.sentence.startswith("1 of 8 latent dimensions has collapsed: it is noise")


def history_of(kl: list[float]) -> list[dict]:
    return [{"epoch": i, "train": {"kl": value}} for i, value in enumerate(kl, 1)]


@pytest.mark.parametrize(
    ("kl", "number", "severity"),
    [
        ([5.0] * 10, None, None),
        ([0.01] + [5.0] * 9, None, None),
        ([0.01] * 4 + [5.0] * 6, 4, "warning"),
        ([5.0] * 2 + [0.01] * 8, 8, "fault"),
    ],
)
def test_a_kl_that_vanishes_is_seen_in_the_history(digits, kl, number, severity):
    model = recipes.mlp(digits.train, hidden=(8,)).model
    found = ask("vanishing-kl", model, digits.test, history=history_of(kl)).finding
    assert (found and found.number, found and found.severity) == (number, severity)
    assert found is None or found.picture().axes


@pytest.mark.parametrize(
    ("beta", "words"),
    [
        (20.0, "The objective weights the KL by 20."),
        (lb.Linear(start=1, duration=8, final=40.0), "The objective weights the KL by 40."),
        (lb.Linear(start=0, duration=8), "By then the KL's weight had reached 0.38."),
        (1.0, "has the same reconstruction."),
    ],
)
def test_the_objective_tells_what_a_collapsed_code_cannot(digits, beta, words):
    """The encoder is the prior whatever β was, so that the record of the run must say."""
    torch.manual_seed(0)
    model = recipes.mlp(digits.train, hidden=(8,), likelihood="Bernoulli").model
    for p in model.posterior.parameters():
        torch.nn.init.zeros_(p)
    record, objective = history_of([5.0] * 2 + [0.01] * 8), lb.ELBO(beta=beta)
    arguments = (model, digits.test, digits.train, record, objective)
    dimensions, course = (
        ask(check, *arguments).finding for check in ("collapsed-dimensions", "vanishing-kl")
    )
    assert (dimensions.severity, course.severity) == ("fault", "fault")
    told = course if "had reached" in words else dimensions
    assert told.sentence.endswith(words)
    assert ("beta=1" in course.code) == (words.startswith("The objective"))


@pytest.mark.parametrize("epochs", [4, 8])
def test_a_weight_that_was_still_changing_is_not_asked_for(table, epochs):
    """Lab 11's schedule, from epoch 4 to 12, in trainings that stop before."""
    known, test = table
    objective = lb.ELBO(beta=lb.Linear(start=4, duration=8))
    model, history = train(known, objective, dataclasses.replace(FAST, epochs=epochs))
    for check in ("kl-weight", "stated-variance"):
        answer = ask(check, model, test, known, history, objective).answer
        assert answer.startswith("not checked: the objective")


@pytest.mark.parametrize("recipe", ["iaf", "full-covariance", "hierarchical-vampprior"])
def test_posteriors_without_formulas_are_diagnosed(digits, recipe):
    torch.manual_seed(0)
    model = recipes.RECIPES[recipe](digits.train).model
    found = examine(model, digits.test.take(40), digits.train.take(40))
    assert len(found) > 8


def test_the_scale_of_a_learned_prior_is_no_collapse(digits):
    """z/20 in encoder, prior and decoder is the same model."""
    model, _ = train(
        digits.train,
        likelihood="Bernoulli",
        latent_dim=4,
        prior=partial(lb.GaussianMixture, components=5),
    )
    before = ask("collapsed-dimensions", model, digits.test)
    first, last = model.likelihood.network.layers[0], model.posterior.network.layers[-1]
    with torch.no_grad():
        first.weight *= 20
        last.weight[:4] /= 20
        last.bias[:4] /= 20
        last.bias[4:] -= 2 * math.log(20)
        model.prior.mean /= 20
        model.prior.log_variance -= 2 * math.log(20)
    after = ask("collapsed-dimensions", model, digits.test)
    assert before.answer.split(";")[0] == after.answer.split(";")[0]
    assert after.answer.startswith("4 of 4")


def test_an_autoencoder_of_one_code_is_not_told_of_a_kl(digits):
    model = recipes.RECIPES["autoencoder"](digits.train).model
    for p in model.posterior.parameters():
        torch.nn.init.zeros_(p)
    found = ask("collapsed-dimensions", model, digits.test).finding
    assert found.severity == "fault"
    assert "KL" not in found.sentence + found.remedy


# Holes.


def test_a_small_kl_weight_leaves_holes(digits):
    objective = lb.ELBO(beta=0.003)
    model, _ = train(digits.train, objective, likelihood="Bernoulli", latent_dim=8)
    found = ask("holes", model, digits.test, digits.train, objective=objective).finding
    assert found.number > HOLES
    assert "beta=1.0" in found.code
    plain = ask("holes", model, digits.test, digits.train).finding
    assert "beta" not in plain.code  # the weight is 1 already
    assert found.picture().axes


def test_no_holes_where_codes_are_the_prior_however_few():
    off = []
    for n in (30, 100, 2000):
        for seed in range(10):
            generator = torch.Generator().manual_seed(seed)
            codes, fitted, prior = (
                torch.randn(size, 5, generator=generator, dtype=torch.float64)
                for size in (n, n, 10 * n)
            )
            log_r = mixture(fitted, 0)
            outside = (log_r(z) < Normal(0.0, 1.0).log_prob(z).sum(1) for z in (prior, codes))
            share = difference(*(where.double() for where in outside))
            off.append(share.value / share.standard_error)
    assert abs(sum(off) / len(off)) < 0.6
    assert max(off) < 3.5


def test_the_share_outside_is_the_total_variation():
    """Between N(2, 1) and N(0, 1) it is 2Φ(1) − 1."""
    generator = torch.Generator().manual_seed(0)
    prior = torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    codes = 2 + torch.randn(4000, 1, generator=generator, dtype=torch.float64)
    log_r = mixture(codes[:2000], 0)
    outside = (
        (log_r(z) < Normal(0.0, 1.0).log_prob(z).sum(1)).double() for z in (prior, codes[2000:])
    )
    share = difference(*outside)
    exact = 2 * Normal(0.0, 1.0).cdf(torch.tensor(1.0)).item() - 1
    assert share.value == pytest.approx(exact, abs=4 * share.standard_error)
    assert share.standard_error < 0.02


def test_the_bound_on_the_aggregate_kl_is_one_and_is_close():
    """q(z) = N(2, 1): the KL is 2; q(z) a mixture of N(±3, ½²): its KL by quadrature."""
    generator = torch.Generator().manual_seed(0)
    noise_ = torch.randn(4000, 1, generator=generator, dtype=torch.float64)
    sign = torch.randint(2, (4000, 1), generator=generator) * 2.0 - 1
    grid = torch.linspace(-8, 8, 20001, dtype=torch.float64)
    two = torch.stack([Normal(s * 3.0, 0.5).log_prob(grid) for s in (-1, 1)]).logsumexp(0)
    log_q = two - math.log(2)
    of_two = torch.trapezoid(log_q.exp() * (log_q - Normal(0.0, 1.0).log_prob(grid)), grid).item()
    for codes, exact in ((2 + noise_, 2.0), (3 * sign + 0.5 * noise_, of_two)):
        score = mixture(codes[:2000], 0)
        held = codes[2000:]
        log_prior = Normal(0.0, 1.0).log_prob(held).sum(1)
        found = estimate(score(held) - log_prior)
        assert found.value < exact + 3 * found.standard_error
        assert found.value == pytest.approx(exact, abs=0.15)


# The decoder's noise, and its likelihood.


def test_a_fixed_sigma_that_is_too_large(digits):
    model, _ = train(digits.train, likelihood=partial(lb.Gaussian, sigma=1.0))
    found = ask("decoder-noise", model, digits.test, digits.train).finding
    best = found.further["best sigma"]
    assert found.number == pytest.approx(1.0 / best)
    # The nats that the finding promises are gained by the same model with that σ.
    before = lb.evaluate(model, digits.train, samples=20).reconstruction.value
    model.likelihood.sigma = best
    gained = before - lb.evaluate(model, digits.train, samples=20).reconstruction.value
    assert found.further["nats lost"] == pytest.approx(gained, rel=0.01)
    assert ask("decoder-noise", model, digits.test, digits.train).finding is None
    assert found.picture().axes


def test_bernoulli_on_grey_levels(digits):
    model, _ = train(digits.train, likelihood="Bernoulli", training=lb.Training(epochs=10))
    found = ask("likelihood", model, digits.test, digits.train).finding
    assert found.severity == "note"
    x = digits.test.x / 255
    assert found.number == pytest.approx(((x > 0) & (x < 1)).double().mean().item())
    bits = {
        name: found.further[f"bits per dimension, {name}"]
        for name in ("ContinuousBernoulli", "Gaussian")
    }
    assert bits["ContinuousBernoulli"] < min(8, bits["Gaussian"])
    assert found.picture().axes


def test_gaussian_on_counts():
    generator = torch.Generator().manual_seed(0)
    z, W = torch.randn(2000, 3, generator=generator), torch.randn(3, 10, generator=generator)
    x = torch.poisson(2 * (0.5 * z @ W).exp(), generator=generator)
    known, test = Dataset(x[:1500]), Dataset(x[1500:])
    assert known.kind == "counts"
    model, _ = train(
        known, training=lb.Training(epochs=20, learning_rate=5e-3), likelihood="Gaussian"
    )
    found = ask("likelihood", model, test, known).finding
    assert found.number > BETTER
    gaussian, best = (
        found.further[f"bits per dimension, {name}"] for name in ("Gaussian", "NegativeBinomial")
    )
    assert found.number == pytest.approx(
        gaussian - min(best, found.further["bits per dimension, Poisson"])
    )


def test_densities_of_binary_data(digits):
    data = binary(digits.train)
    torch.manual_seed(0)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(64, (16,), 4), 2),
        lb.Gaussian(lb.MLP(2, (16,), 64), (1, 8, 8)),
        lb.Scale(),
    )
    found = ask("likelihood", model, data, None).finding
    assert found.number == 1
    assert "Bernoulli" in found.code


def test_a_rounded_normal_is_a_probability():
    x = torch.arange(-300.0, 300.0, dtype=torch.float64)
    for mean, sigma in ((0.3, 0.2), (10.0, 3.0), (-40.0, 30.0)):
        p = RoundedNormal(torch.tensor(mean).double(), torch.tensor(sigma).double())
        assert p.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_binarised_images_have_one_likelihood(digits):
    model, _ = train(digits.train, transform="Binarise", training=lb.Training(epochs=1))
    check = ask("likelihood", model, digits.test, digits.train)
    assert check.answer == "Bernoulli on binarised values, of which it is a probability"
    assert check.finding is None


def test_an_alternative_reaches_a_scale_far_from_its_first_one(table):
    """x = zW + 0.02 ε, with σ = 1 at first."""
    torch.manual_seed(0)
    z = torch.randn(2000, 3)
    x = z @ torch.randn(3, 10) / 3 + 0.02 * torch.randn(2000, 10)
    gaussian = lb.Identity(), lambda h, s: Normal(h, s[0].exp())
    codes = Codes(mean=z, variance=torch.zeros_like(z), draws=z)
    decoder = Decoder(codes, (10,), gaussian)
    decoder.train_on(codes, x)
    assert 0.02 <= decoder.shared[0].exp().item() < 0.1


# The encoder.


@pytest.mark.parametrize(
    ("beta", "cause"),
    [
        (10.0, "averaged over the 10 elements"),
        (4.0, ""),
        (0.5, "lacks its factor ½"),
        (0.2, ""),
    ],
)
def test_an_implicit_weight_of_the_kl_is_read_off_the_encoder(table, beta, cause):
    known, test = table
    objective = lb.ELBO(beta=beta)
    sigma = 0.3 if beta > 1 else 1.0  # neither collapse nor variances that take long to learn
    settings = {"likelihood": partial(lb.Gaussian, sigma=sigma), "latent_dim": 2, "hidden": ()}
    training = dataclasses.replace(FAST, learning_rate=2e-2, epochs=120)
    model, _ = train(known, objective, training, **settings)
    found = ask("kl-weight", model, test, known).finding
    assert found.number == pytest.approx(beta, rel=0.15)
    assert cause in found.sentence
    assert found.picture().axes
    assert ask("kl-weight", model, test, known, objective=objective).finding is None


def test_variances_far_above_the_prior_show_a_kl_of_the_wrong_sign(table):
    known, test = table
    torch.manual_seed(0)
    model = recipes.mlp(known, hidden=(), latent_dim=2).model
    with torch.no_grad():
        output_layer(model.posterior.network).bias[2:] = math.log(20)
    found = ask("kl-weight", model, test, known).finding
    assert found.number == -1
    assert "wrong sign: the variance of q(z|x) is up to 2" in found.sentence
    assert [text.get_text() for text in found.picture().axes[0].get_xticklabels()] == [
        "of q, the widest",
        "of the prior",
    ]


def test_wide_codes_of_data_that_are_not_scaled_show_nothing(table):
    known, test = (Dataset(100 * data.x) for data in table)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(10, (16,), 4), 2),
        lb.Gaussian(lb.MLP(2, (16,), 10), (10,)),
    )
    assert ask("kl-weight", model, test, known).finding is None


@pytest.mark.parametrize("part", ["posterior", "likelihood"])
def test_codes_that_are_not_finite_come_before_all_else(table, part):
    known, test = table
    model = recipes.mlp(known, hidden=(), latent_dim=2).model
    with torch.no_grad():
        output_layer(getattr(model, part).network).weight[0, 0] = math.nan
    (found,) = lb.diagnose(model, test, known)
    assert found.severity == "fault"
    assert f"or likelihood for 500 of 500 held-out rows: {part}.network" in found.sentence
    assert found.sentence.endswith("is not finite itself.")
    assert found.picture().axes[0].get_ylabel() == "held-out examples"


def test_a_better_likelihood_of_heavy_tails_is_told_by_most_rows():
    """The mean of what is saved has no standard error to speak of."""
    saved = torch.full((200,), 0.5, dtype=torch.float64)
    saved[:3] = torch.tensor([200.0, -20.0, 300.0])
    assert not surely_above(estimate(saved), 0.1)
    assert is_surely_better(saved)
    saved[:120] = -0.5
    assert not is_surely_better(saved)


def test_a_short_training_is_told_by_what_more_of_it_would_win(table):
    known, test = table
    model, history = train(known, training=lb.Training(epochs=2))
    found = ask("still-learning", model, test, known, history).finding
    assert "ended after 24 steps: 100 more would win" in found.sentence
    before = lb.evaluate(model, known, samples=10).elbo.value
    lb.fit(model, known, training=lb.Training(epochs=10, batch_size=150), callbacks=[])
    after = lb.evaluate(model, known, samples=10).elbo.value
    assert found.number == pytest.approx(after - before, rel=0.3)
    assert "train --resume" in found.code
    assert found.picture().axes
    later = [history[0], history[1] | {"step": 1000}]
    assert ask("still-learning", model, test, known, later).finding is None
    one_epoch = ask("still-learning", model, test, known, later[1:]).finding
    assert "ended after 1,000 steps" in one_epoch.sentence
    assert one_epoch.picture().axes
    assert not ask("still-learning", model, test, None, later[1:]).made


def test_the_noise_of_a_short_course_is_no_gain():
    """A linear model at its optimum, whose bound on 60 rows varies by 0.15 between epochs."""
    generator = torch.Generator().manual_seed(2)
    z, W, e = (torch.randn(*s, generator=generator) for s in ((120, 2), (2, 5), (120, 5)))
    x = z @ W + 0.5 * e
    known, test = Dataset(x[:60]), Dataset(x[60:])
    training = lb.Training(epochs=480, learning_rate=2e-2, schedule="cosine")
    model, history = train(known, training=training, hidden=(), latent_dim=2)
    bounds = torch.tensor([each["train"]["bound"] for each in history[-96:]])
    assert (bounds[48:] - bounds[:48]).max() > 0.1
    assert ask("still-learning", model, test, known, history).finding is None


@pytest.mark.parametrize(
    ("drawn", "paid", "words"),
    [
        # Lab 11: deviation exp(h), with the KL of variance exp(h).
        (lambda h: h.exp(), lambda h: h, "μ + exp(h) ε and the KL computed for log σ² = h:"),
        # h is log σ throughout, and is wrapped as if it were log σ².
        (lambda h: h.exp(), lambda h: 2 * h, "μ + exp(h) ε and the KL computed for log σ² = 2h:"),
        # The assignment: scale exp(log σ²) and noise of deviation 0.1.
        (
            lambda h: 0.1 * h.exp(),
            lambda h: h,
            "μ + 0.1 exp(h) ε and the KL computed for log σ² = h:",
        ),
        # h is the logarithm of a precision throughout, and so is wide as a variance.
        (
            lambda h: (-h / 2).exp(),
            lambda h: -h,
            "μ + exp(−½ h) ε and the KL computed for log σ² = −h:",
        ),
    ],
    ids=["lab", "log σ", "assignment", "log precision"],
)
def test_a_log_variance_that_is_none_is_found_and_named(table, drawn, paid, words):
    known, test = table
    model = by_hand(known, drawn, lambda m, h: standard_normal_kl_terms(m, paid(h)))
    found = ask("stated-variance", model, test, known).finding
    assert words in found.sentence
    is_sound = bool(torch.allclose(drawn(h := torch.ones(1)), (paid(h) / 2).exp()))
    assert found.severity == ("warning" if is_sound else "fault")
    assert found.picture().axes
    with torch.no_grad():
        h = model.posterior.network(test.x).chunk(2, -1)[1]
    exact = (drawn(h).log() - h / 2).mean().exp().item()
    assert found.number == pytest.approx(exact, rel=1e-4)
    assert ask("kl-weight", model, test, known).finding is None


def by_hand(known, drawn, kl) -> lb.VAE:
    """A model that a user's own loop trained: z = μ + drawn(h) ε, and a KL of μ and h."""
    torch.manual_seed(0)
    model = lb.VAE(
        lb.StandardNormal(3),
        lb.DiagonalGaussian(lb.MLP(10, (64,), 6), 3),
        lb.Gaussian(lb.MLP(3, (64,), 10), (10,), sigma=0.5),
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    for _ in range(500):
        x = known.x[torch.randint(len(known), (128,))]
        mean, h = model.posterior.network(x).chunk(2, -1)
        z = mean + drawn(h) * torch.randn_like(mean)
        loss = (kl(mean, h).sum(1) - model.likelihood(z).log_prob(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def test_a_sigma_that_is_ignored_in_sampling(table):
    """The KL draws μ to 0, as if the code had collapsed; the draws are what is wrong."""
    known, test = table
    model = by_hand(known, lambda h: 0 * h, standard_normal_kl_terms)
    found = ask("stated-variance", model, test, known).finding
    assert found.number == 0
    assert "no noise" in found.sentence
    assert "not trained as is stated" in ask("collapsed-dimensions", model, test, known).answer


def test_a_misprinted_kl_is_named(table):
    """The assignment's formula, with σ where σ² is meant."""
    known, test = table
    wrong = WRONG_KLS["sigma"]
    model = by_hand(known, lambda h: (h / 2).exp(), wrong)
    found = ask("kl-formula", model, test, known).finding
    assert "has σ where σ² is meant" in found.sentence
    at = torch.tensor(0.5), torch.tensor(2 * math.log(2.0))
    assert found.number == pytest.approx(wrong(*at).item())
    assert found.further["exact"] == pytest.approx(standard_normal_kl_terms(*at).item())
    assert found.picture().axes


@pytest.mark.parametrize("epochs", [20, 60])
def test_a_linear_model_that_was_not_trained_to_its_end_has_no_fault(epochs):
    generator = torch.Generator().manual_seed(0)
    W = torch.tensor([[1, 0.5, 0, 2, 0.3], [0.2, -1, 0.8, 0, 0.3]])
    x = torch.randn(2000, 2, generator=generator) @ W
    x = x + 0.5 * torch.randn(2000, 5, generator=generator)
    known, test = Dataset(x[:1600]), Dataset(x[1600:])
    model, history = train(known, training=lb.Training(epochs=epochs), hidden=(), latent_dim=2)
    for check in ("kl-weight", "stated-variance", "kl-formula", "reconstruction"):
        assert ask(check, model, test, known, history).finding is None


def test_means_that_are_not_quite_at_rest_are_no_other_variance():
    """Scaled by 1 − δ, the exact posterior's means give β = 1 + δ/noise², and its variances 1."""
    model, data = exact_case(0.0, noise=0.02, scale=1 - 8e-4)
    found = ask("stated-variance", model, data, data)
    with judging(model, 0, Stream.DIAGNOSE) as device:
        weights = readings.stated(TrainedModel(model, data, data, (), PLAIN, device, 0))
    error = weights.beta(2).standard_error
    assert error < 0.025
    assert weights.beta(2).value == pytest.approx(1, abs=3 * error)
    assert weights.beta(0).value == pytest.approx(1 + 8e-4 / 0.02**2, rel=0.01)
    assert found.finding is None
    assert ask("kl-weight", model, data, data).finding is None


def test_heads_with_relu_are_clipped(digits):
    """The assignment's code: ReLU on the mean and on log σ²."""
    torch.manual_seed(0)
    model = lb.VAE(
        lb.StandardNormal(4),
        lb.DiagonalGaussian(nn.Sequential(lb.MLP(64, (64,), 8), nn.ReLU()), 4),
        lb.Bernoulli(lb.MLP(4, (64,), 64), (1, 8, 8)),
        lb.Scale(),
    )
    found = ask("clipped-heads", model, digits.test).finding
    with torch.no_grad():
        outputs = model.posterior.network(digits.test.x / 255)
    shares = [(half == 0).double().mean().item() for half in outputs.chunk(2, -1)]
    assert found.number == pytest.approx(max(shares))
    assert "mean and log σ²" in found.sentence
    assert found.picture().axes


def test_an_encoder_that_is_still_learning_has_no_fault(digits):
    """Its two β are far from 1, and what explains them is that it is not at rest yet."""
    settings = {"training": lb.Training(epochs=5), "likelihood": "ContinuousBernoulli"}
    model, history = train(digits.train, **settings)
    for check in ("kl-weight", "stated-variance", "kl-formula"):
        assert ask(check, model, digits.test, digits.train, history).finding is None


def test_a_training_that_ended_on_the_way_is_a_note(digits):
    """The bound rises by 20 nats in each of 20 epochs, two of which are a tenth."""
    model = recipes.mlp(digits.train, hidden=(8,), latent_dim=2).model
    rising = [{"epoch": i, "train": {"bound": 20.0 * i}} for i in range(1, 21)]
    found = ask("still-learning", model, digits.test, history=rising).finding
    assert (found.severity, found.number) == ("note", 40)
    assert "last 2 epochs" in found.sentence
    assert found.picture().axes
    broken = [*rising, {"epoch": 21, "train": {"bound": -1e4}}]
    found = ask("still-learning", model, digits.test, history=broken).finding
    assert (found.severity, found.number) == ("fault", 10_400)
    assert "since epoch 20" in found.sentence
    given_back = ask("still-learning", model, digits.test, digits.train, broken).finding
    assert given_back is None or "broke down" not in given_back.sentence
    settled = [{"epoch": i, "train": {"bound": -1.0 / i}} for i in range(1, 21)]
    assert ask("still-learning", model, digits.test, history=settled).finding is None


def test_other_objectives_are_not_mistaken_for_a_wrong_weight(table):
    known, test = table
    model, _ = train(known, training=lb.Training(epochs=1))
    others = (lb.IWAE(5), lb.ELBO(free_bits=0.1), lb.ELBO(beta=0.0))
    for objective in others:
        answer = ask("kl-weight", model, test, known, objective=objective).answer
        assert answer.startswith("not checked: the objective")
    assert ask("kl-weight", model, test).answer.endswith("not at hand")


# Other data, other labels.


def test_held_out_data_that_are_others_are_told(table):
    known, test = table
    model = recipes.mlp(known, hidden=(8,), latent_dim=2).model
    assert ask("other-data", model, test, known).finding is None
    scaled = ask("other-data", model, Dataset(3 * test.x), known).finding
    assert (scaled.severity, scaled.figure[:4]) == ("fault", f"{scaled.number:.4g}"[:4])
    assert "column" in scaled.sentence
    # The largest difference of N(0, 1) and N(0, 3²) is at x² = 2 log 3/(1 − 1/9).
    at = math.sqrt(2 * math.log(3) / (1 - 1 / 9))
    cdf = torch.distributions.Normal(0.0, 1.0).cdf
    exact = (cdf(torch.tensor(at)) - cdf(torch.tensor(at / 3))).item()
    assert scaled.number == pytest.approx(exact, abs=0.06)
    assert scaled.picture().axes
    heart = ask("overfitting", model, Dataset(3 * test.x), known)
    assert heart.answer == "not checked: the held-out data are not like the training data"


def test_rows_far_from_all_others_are_named(table):
    known, test = table
    model = recipes.mlp(known, hidden=(8,), latent_dim=2).model
    assert ask("far-rows", model, test, known).finding is None
    x = known.x.clone()
    x[7, 3] = 1e6
    found = ask("far-rows", model, test, Dataset(x)).finding
    assert (found.severity, found.number) == ("warning", 1)
    assert found.sentence.startswith("An example lies far from all others: training example 7,")
    assert "In training example 7, column 3 is 1e+06, " in found.sentence
    centre = known.x[:, 3].median()
    usual = (known.x[:, 3] - centre).abs().quantile(0.9)
    assert found.further["times as far"] == pytest.approx(((1e6 - centre) / usual).item(), rel=0.01)
    assert found.picture().axes
    y = test.x.clone()
    y[[4, 9], 0] = -1e9
    found = ask("far-rows", model, Dataset(y), Dataset(x)).finding
    assert "training example 7 and held-out examples 4, 9, counted" in found.sentence
    assert found.number == 3


def test_columns_in_another_order_are_told_by_how_they_hang_together():
    """Of one distribution each, so that only their correlations tell."""
    generator = torch.Generator().manual_seed(0)
    z, e = (torch.randn(2000, n, generator=generator) for n in (2, 6))
    x = torch.cat((z, z, z), 1) + 0.5 * e
    known, test = Dataset(x[:1600]), Dataset(x[1600:])
    model = recipes.mlp(known, hidden=(8,), latent_dim=2).model
    assert ask("other-data", model, test, known).finding is None
    swapped = Dataset(test.x[:, [1, 0, 2, 3, 4, 5]])
    found = ask("other-data", model, swapped, known).finding
    assert "another order" in found.sentence
    assert found.picture().axes


def test_a_file_in_the_order_of_its_classes_is_no_other_data():
    """Divided at random, each part in the file's order: what is fitted to half of one is of all."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 6, generator=generator)
    x[500:] = x[500:, :1] + 0.1 * x[500:]  # the second class lies on a line
    x[torch.rand(1000, generator=generator) < 0.8, 5] = math.nan
    whole = Dataset((2 * x).round(), missing=True)
    model = recipes.mlp(whole, hidden=(8,), latent_dim=2).model
    for seed in range(2):
        parts = lb.data.split(whole, test=0.2, seed=seed)
        assert ask("other-data", model, parts.test, parts.train).finding is None
    for added in (9, math.nan):  # with gaps, or nothing else
        other = Dataset(parts.test.x + torch.tensor([added, 0, 0, 0, 0, 0]), missing=True)
        assert ask("other-data", model, other, parts.train).finding.picture().axes
    model, exact = exact_case(0.0)
    assert ask("holes", model, Dataset(exact.x.sort(0).values)).finding is None


def test_what_a_reading_loses_is_no_evidence_for_it(table, monkeypatch):
    """The loss as stated wins 0.05 nats by more training; as each other reading it loses 0.03."""
    known, test = (data.take(100) for data in table)
    model, _ = train(known, training=lb.Training(epochs=1))
    wins = {True: 0.05, False: -0.03}
    stated = readings.Reading(1.0)
    won = lambda trained, loss: torch.full((100,), wins[loss.__self__ == stated])  # noqa: E731
    monkeypatch.setattr(readings, "won", won)
    for win, found in ((-0.03, 0), (0.001, 1)):
        wins[False] = win
        checks = ("kl-weight", "stated-variance", "kl-formula")
        assert sum(bool(ask(check, model, test, known).finding) for check in checks) == found


def test_images_that_are_moved_by_a_pixel_are_other_data(digits):
    model = recipes.mlp(digits.train, hidden=(8,)).model
    assert ask("other-data", model, digits.test, digits.train).finding is None
    moved = Dataset(digits.test.x.roll(1, -1))
    assert "element (0, " in ask("other-data", model, moved, digits.train).finding.sentence


def test_labels_that_are_others_or_say_nothing():
    """Three clusters, which z alone could tell apart only at a cost."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (1500,), generator=generator)
    x = 4 * torch.eye(3)[y] + 0.5 * torch.randn(1500, 3, generator=generator)
    known, test = Dataset(x[:1000], y[:1000]), Dataset(x[1000:], y[1000:])
    settings = {"training": lb.Training(epochs=10, learning_rate=1e-2), "hidden": (16,)}
    model, _ = train(known, conditional=True, latent_dim=1, **settings)
    right = ask("labels", model, test, known)
    assert right.finding is None
    other = Dataset(test.x, (test.labels + 1) % 3)
    found = ask("labels", model, other, known).finding
    assert (found.severity, found.number < 0) == ("fault", True)
    assert found.picture().axes
    heart = ask("overfitting", model, other, known)
    assert heart.answer == "not checked: the labels of the held-out data are not those of training"
    for some in ((0,), (0, 1), (2,)):
        chosen = torch.isin(test.labels, torch.tensor(some))
        few = Dataset(test.x[chosen], test.labels[chosen])
        assert ask("labels", model, few, known).finding is None
    blind = Dataset(known.x, known.labels[torch.randperm(1000, generator=generator)])
    model, _ = train(blind, conditional=True, latent_dim=3, **settings)
    assert ask("labels", model, test, blind).finding.severity == "warning"


class OneHot(nn.Module):
    """A context of one's own, which knows no names."""

    def forward(self, labels):
        return nn.functional.one_hot(labels, 2).float()


def test_classes_are_taken_by_name_whatever_the_context():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (200,), generator=generator)
    x = 4 * torch.eye(2)[y] + torch.randn(200, 2, generator=generator)
    known, test = (Dataset(x[p], y[p], classes=("a", "b")) for p in (slice(100), slice(100, 200)))
    model = lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(lb.MLP(2, (8,), 2, context_dim=2), 1),
        lb.Gaussian(lb.MLP(1, (8,), 2, context_dim=2), (2,)),
        context=OneHot(),
    )
    swapped = Dataset(test.x, 1 - test.labels, classes=("b", "a"))
    others = CHECKS.keys() - {"shapes", "labels"}
    one, other = (examine(model, data, known, leave_out=others) for data in (test, swapped))
    assert one[1].name == "labels"
    assert one == other


def test_a_model_of_double_precision_is_diagnosed():
    data = Dataset(torch.poisson(torch.full((60, 3), 4.0)))
    model = recipes.mlp(data, hidden=(8,), latent_dim=2).model.double()
    assert "NegativeBinomial" in ask("likelihood", model, data, data).answer
    assert ask("holes", model, data, data).made
    with judging(model, 0, Stream.DIAGNOSE) as device:
        weights = readings.stated(TrainedModel(model, data, data, (), PLAIN, device, 0))
    assert weights.likelihood.dtype == torch.float64


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            lambda d: Dataset(d.x[..., 1:], d.labels),
            r"of shape \(1, 8, 8\), as the model was trained",
        ),
        (lambda d: Dataset(d.x), "expected class labels, as this model is conditional, got none"),
        (lambda d: Dataset(d.x, d.labels + 1), "expected class labels from 0 to 9"),
    ],
)
def test_data_that_are_not_the_model_s_are_refused(digits, data, message):
    model = recipes.mlp(digits.train, hidden=(8,), conditional=True).model
    with pytest.raises(lb.errors.ConfigurationError, match=message):
        lb.diagnose(model, data(digits.test.take(40)))


def test_reconstructions_of_the_wrong_sign_are_worse_than_the_mean(table):
    known, test = table
    model, _ = train(known, training=lb.Training(epochs=10), latent_dim=3)
    assert ask("reconstruction", model, test, known).finding is None
    last = model.likelihood.network.layers[-1]
    with torch.no_grad():
        last.weight *= -1
        last.bias *= -1
    few = [{"epoch": 10, "step": 120, "train": {}}]
    assert "120 steps" in ask("reconstruction", model, test, known, few).answer
    found = ask("reconstruction", model, test, known).finding
    x, y = known.x, model.reconstruct(known.x)
    ratios = (y - x).square().mean(0) / (x - x.mean(0)).square().mean(0)
    assert found.number == pytest.approx(ratios.median().item(), rel=1e-4)
    assert found.picture().axes


# The bound.


class Shifted(nn.Module):
    """The exact posterior, its mean moved by ``shift`` deviations and scaled, as torch's Normal."""

    latent_dim = 1

    def __init__(self, shift: float, noise: float, scale: float) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))
        self.noise, self.scale = noise, scale

    def forward(self, x, context=None):
        deviation = self.noise / math.sqrt(1 + self.noise**2)
        mean = self.scale * x / (1 + self.noise**2) + self.shift * deviation
        return Independent(Normal(mean, deviation * torch.ones_like(mean)), 1)


class Observed(nn.Module):
    """p(x|z) = N(z, noise²)."""

    shape, support = (1,), "continuous"

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, z, context=None):
        return Independent(Normal(z, self.noise * torch.ones_like(z)), 1)


def exact_case(shift: float, noise: float = S, scale: float = 1.0) -> tuple[lb.VAE, Dataset]:
    x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    posterior = Shifted(shift, noise, scale)
    model = lb.VAE(lb.StandardNormal(1), posterior, Observed(noise))
    return model, Dataset(math.sqrt(1 + noise**2) * x)


def test_the_exact_posterior_has_no_gap():
    model, data = exact_case(0.0)
    gap = ask("bound-gap", model, data)
    assert gap.finding is None
    assert "0.00 ± 0.00" in gap.answer
    assert ask("importance-samples", model, data).finding is None


def test_a_gap_is_the_kl_to_the_posterior():
    """q is the posterior moved by s deviations: the gap is s²/2."""
    model, data = exact_case(1.5)
    found = ask("bound-gap", model, data).finding
    assert found.number == pytest.approx(1.125, abs=0.08)
    assert found.picture().axes
    assert found.severity == "warning"
    meant = ask("bound-gap", model, data, objective=lb.IWAE(10)).finding
    assert (meant.severity, meant.number) == ("note", found.number)


def test_too_few_samples():
    model, data = exact_case(8.0)
    found = ask("importance-samples", model, data).finding
    assert found.number > 0.5
    assert found.further["effective sample size"] < 3
    with judging(model, 0, Stream.DIAGNOSE):
        by_hand = lb.evaluate(model, data, samples=100).importance_weighted.value
        by_half = lb.evaluate(model, data, samples=50).importance_weighted.value
    assert found.number == pytest.approx(by_hand - by_half, abs=0.4)
    assert found.picture().axes


def test_a_model_that_knows_its_examples_by_heart(digits):
    few = digits.train.take(80)
    model, history = train(
        few,
        training=lb.Training(epochs=250, learning_rate=5e-3),
        hidden=(128,),
        likelihood="Bernoulli",
    )
    found = ask("overfitting", model, digits.test, few, history).finding
    gap = (
        lb.evaluate(model, few, samples=20).elbo.value
        - lb.evaluate(model, digits.test, samples=20).elbo.value
    )
    assert found.number == pytest.approx(gap, abs=0.5)
    assert found.standard_error > 0
    assert found.picture().axes


# Models that do not run, and what cannot be judged.


def test_a_linear_layer_that_counts_one_convolution(digits):
    """The problem set: c(d − (k − 1))² features, where two convolutions leave c(d − 2(k − 1))²."""
    channels, kernel, side = 4, 3, 8
    printed, right = (channels * (side - n * (kernel - 1)) ** 2 for n in (1, 2))
    network = nn.Sequential(
        nn.Conv2d(1, channels, kernel),
        nn.Conv2d(channels, channels, kernel),
        nn.Flatten(),
        nn.Linear(printed, 4),
    )
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(network, 2),
        lb.Bernoulli(lb.MLP(2, (8,), 64), (1, 8, 8)),
        lb.Scale(),
    )
    (found,) = lb.diagnose(model, digits.test)
    assert (found.name, found.number, found.further["takes"]) == ("shapes", right, printed)
    assert found.picture().axes
    with judging(model, 0, Stream.DIAGNOSE) as device:
        assert not any(layer._forward_pre_hooks for layer in model.modules())
        trained = TrainedModel(model, digits.test, None, (), PLAIN, device, 0)
        assert shapes.runs(trained).form


def test_a_likelihood_that_refuses_the_data_is_a_finding(digits):
    """torch's own Bernoulli takes no grey levels."""

    class Own(nn.Module):
        shape, support = (1, 8, 8), "binary"

        def forward(self, z, context=None):
            logits = z.sum(-1)[..., None, None, None].expand(*z.shape[:-1], 1, 8, 8)
            elements = torch.distributions.Bernoulli(logits=logits, validate_args=True)
            return Independent(elements, 3)

    posterior = lb.DiagonalGaussian(lb.MLP(64, (8,), 4), 2)
    model = lb.VAE(lb.StandardNormal(2), posterior, Own(), lb.Scale())
    (found,) = lb.diagnose(model, digits.test)
    assert found.name == "shapes"
    assert "\n" not in found.sentence


def test_an_autoencoder_is_asked_what_it_can_answer(digits):
    torch.manual_seed(0)
    model = lb.VAE(
        lb.StandardNormal(4),
        lb.Deterministic(lb.MLP(64, (64,), 4), 4),
        lb.Bernoulli(lb.MLP(4, (64,), 64), (1, 8, 8)),
        lb.Scale(),
    )
    lb.fit(model, digits.train, objective=lb.Reconstruction(), training=FAST, callbacks=[])
    checks = examine(model, digits.test)
    asked = {check.name for check in checks}
    assert {"bound-gap", "kl-weight", "decoder-noise", "likelihood"}.isdisjoint(asked)
    (found,) = (check.finding for check in checks if check.finding)
    assert (found.name, found.severity) == ("holes", "note")
    # Codes a thousandth as large say as much.
    model.posterior.network.layers[-1].weight.data *= 1e-3
    small = ask("collapsed-dimensions", model, digits.test)
    assert small.answer == "4 of 4 dimensions are active"
    model.posterior.network.layers[-1].weight.data[0] = 0
    found = ask("collapsed-dimensions", model, digits.test).finding
    assert (found.severity, found.number) == ("note", 1)


@pytest.mark.slow
def test_a_conditional_model(digits):
    model, _ = train(digits.train, conditional=True, likelihood="Bernoulli")
    for check in ("holes", "kl-weight", "stated-variance"):
        answer = ask(check, model, digits.test, digits.train)
        assert answer.finding is None
        assert answer.made
    assert ask("likelihood", model, digits.test, digits.train).finding


def test_few_examples_are_refused(digits):
    model, _ = train(digits.train, training=lb.Training(epochs=1))
    with pytest.raises(lb.errors.ConfigurationError, match="at least 20 held-out"):
        lb.diagnose(model, digits.test.take(19))


def test_at_most_so_many_examples_at_random():
    data = Dataset(torch.arange(3.0 * EXAMPLES).reshape(-1, 1))
    some = subset(data, 0)
    assert len(some) == EXAMPLES
    assert some.x.mean().item() == pytest.approx(1.5 * EXAMPLES, rel=0.1)


def test_findings_speak_and_become_json(digits):
    model, _ = train(digits.train, training=lb.Training(epochs=1), likelihood="Bernoulli")
    found = lb.diagnose(model, digits.test.x)
    assert found
    for finding in found:
        assert finding.remedy in str(finding)
        assert set(finding.as_dict()) == {field.name for field in dataclasses.fields(finding)} - {
            "measured"
        }


def test_every_finding_has_its_words_and_its_picture():
    findings = {name: row for name, row in TABLE.items() if "severity" in str(row)}
    assert findings.keys() == PICTURES.keys()
    for name, row in findings.items():
        forms = [part for key, part in row.items() if isinstance(part, dict) and key != "further"]
        for form in [row | form for form in forms] or [row]:
            assert {"severity", "sentence", "number", "unit", "remedy", "code"} <= form.keys(), name
            assert form["severity"] in ("fault", "warning", "note")
    assert all("question" in findings[name] for name in CHECKS)
