"""Recipes: the documents' sizes, what follows from the data, and the settings' checks."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch

import lowerbound as lb
from lowerbound import recipes
from lowerbound.allocations import Allocations
from lowerbound.data import Dataset, Field
from lowerbound.errors import ConfigurationError
from lowerbound.parts import REGISTRY
from lowerbound.recipes.size import within_memory
from lowerbound.report.outcome import Outcome
from lowerbound.report.sections import sections

GREY = Dataset(torch.randint(0, 256, (30, 1, 28, 28), dtype=torch.uint8), torch.arange(30) % 10)
BINARY = Dataset(torch.randint(0, 2, (30, 1, 8, 8), dtype=torch.uint8))
UNIT = Dataset(torch.rand(30, 4))
REAL = Dataset(torch.randn(30, 4) * 3 + 5)
COUNTS = Dataset(torch.poisson(torch.full((30, 4), 3.0)))
GREY_LIKELIHOODS = [
    name
    for name in recipes.choices("likelihood")
    if "grey" in getattr(REGISTRY[name], "takes", {})
    and REGISTRY[name].__module__.startswith("lowerbound.")
]


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("latent_dim", "encoder", "decoder"), [(2, 403_972, 403_728), (20, 422_440, 412_944)]
)
def test_homework_3_has_exactly_the_documents_parameters(latent_dim, encoder, decoder):
    model = recipes.mlp(GREY, latent_dim=latent_dim, hidden=(512,), likelihood="Bernoulli").model
    assert parameters(model.posterior) == encoder
    assert parameters(model.likelihood) == decoder
    assert parameters(model) == {2: 807_700, 20: 835_384}[latent_dim]


@pytest.mark.parametrize(
    ("data", "likelihood", "transform"),
    [
        (GREY, lb.ContinuousBernoulli, lb.Dequantise),
        (BINARY, lb.Bernoulli, lb.Binary),
        (UNIT, lb.ContinuousBernoulli, lb.Identity),
        (REAL, lb.Gaussian, lb.Standardise),
        (COUNTS, lb.NegativeBinomial, lb.Counts),
    ],
)
def test_the_likelihood_fits_the_values_and_is_a_density_of_them(data, likelihood, transform):
    model = recipes.mlp(data, latent_dim=2, hidden=(8,)).model
    assert isinstance(model.likelihood, likelihood)
    assert isinstance(model.transform, transform)
    assert model.is_density


COLUMNS = torch.tensor([0.5, 3.0, 40.0, 2000.0])
STARTS = {name: torch.rand(400, 1, 4, 4) ** torch.arange(1, 5) for name in GREY_LIKELIHOODS}
STARTS |= {
    "Poisson": torch.poisson(COLUMNS.expand(400, 4)),
    "NegativeBinomial": torch.poisson(COLUMNS.expand(400, 4)),
    "ZeroInflatedNegativeBinomial": torch.poisson(COLUMNS.expand(400, 4)),
    "Gaussian": 3 * torch.randn(400, 4) + COLUMNS,
    "StudentT": 3 * torch.randn(400, 4) + COLUMNS,
    "NormalMixture": 3 * torch.randn(400, 4) + COLUMNS,
    "ContinuousBernoulli": torch.rand(400, 4) ** torch.tensor([0.1, 1.0, 3.0, 30.0]),
    "Bernoulli": (torch.rand(400, 4) < torch.tensor([0.01, 0.2, 0.5, 0.97])).float(),
    "Nominal": None,
    "Ordinal": None,
}


@pytest.mark.parametrize("name", STARTS)
def test_each_likelihood_starts_at_the_datas_moments_whatever_z(name):
    x = STARTS[name]
    if x is None:
        shares = torch.tensor([0.1, 0.2, 0.7])
        values = torch.tensor([0.0, 1.0, 2.0] if name == "Nominal" else [-1.0, 2.5, 3.0])
        times = torch.tensor([40, 80, 280])
        named = Field("c", "categories", categories=("a", "b", "c"))
        graded = Field("c", "ordinal", levels=tuple(values.tolist()))
        field = named if name == "Nominal" else graded
        data = Dataset(values.repeat_interleave(times).unsqueeze(1), schema=(field,))
        likelihood = recipes.compose(data, 2).likelihood
        p = likelihood(torch.randn(50, 2)).fields[0].base_dist
        torch.testing.assert_close(p.logits.softmax(-1).mean((0, 1)), shares, atol=0.03, rtol=0)
        return
    x = (255 * x).to(torch.uint8) if x.ndim == 4 else x
    model = recipes.compose(Dataset(x), 2, likelihood=name)
    x = model.transform.noiseless(x)
    p = model.likelihood(torch.randn(50, 2))
    mean, variance = p.mean.mean(0).detach(), p.base_dist.variance.mean(0).detach()
    scale = x.std(0).clamp(min=0.01)
    wanted = x.mean(0)
    assert ((mean - wanted).abs() < 0.5 * scale + 0.1 * wanted.abs()).all()
    if name not in ("Bernoulli", "ContinuousBernoulli", "StudentT", "Poisson"):
        assert (variance / scale**2).log().abs().max() < 1.5


@pytest.mark.parametrize("recipe", [recipes.mlp, recipes.convolutional])
def test_images_start_at_the_mean_image_or_its_mean(recipe):
    levels = (torch.rand(200, 1, 8, 8) * torch.linspace(5, 250, 8)).to(torch.uint8)
    model = recipe(levels, latent_dim=2, likelihood="Bernoulli").model
    found, wanted = model.sample(200, seed=0, mean=True).mean(0), levels.float().mean(0)
    if recipe is recipes.convolutional:
        found, wanted = found.mean(), wanted.mean()
    torch.testing.assert_close(found, wanted, atol=20, rtol=0.1)


@pytest.mark.parametrize("likelihood", ["Bernoulli", "ContinuousBernoulli"])
def test_maps_start_at_the_pixels_of_all_places(likelihood):
    """With a border that is always black, the mean of logits is far below the logit of the mean."""
    levels = torch.zeros(300, 1, 8, 8, dtype=torch.uint8)
    levels[:, :, 2:6, 2:6] = torch.randint(100, 256, (300, 1, 4, 4))
    model = recipes.convolutional(levels, latent_dim=2, likelihood=likelihood).model
    with torch.no_grad():
        found = model.sample(100, seed=0, mean=True).mean()
    assert found.item() == pytest.approx(levels.float().mean().item(), rel=0.25)


def test_maps_start_at_as_many_values_as_there_are():
    """Even levels: 8 bits each, and 14 where only one value of each example is counted."""
    levels = torch.randint(0, 256, (96, 3, 16, 16), dtype=torch.uint8)
    model = recipes.convolutional(levels, likelihood="Categorical", channels=(8,)).model
    found = lb.evaluate(model, levels, samples=1).bits_per_dimension
    assert found.value == pytest.approx(8, abs=0.05)


def test_counts_without_structure_are_known_in_two_hundred_steps():
    """Poisson(200), whose entropy is 5.9 bits."""
    mean = 200 * np.array([0.5, 1, 2, 1, 1])
    x = np.random.default_rng(0).poisson(mean, (600, 5))
    truth = -scipy.stats.poisson(mean).logpmf(x).mean() / math.log(2)
    experiment = recipes.mlp(x, latent_dim=2, hidden=(16,), epochs=40, learning_rate=3e-3)
    lb.fit(experiment.model, x, training=experiment.training, callbacks=[])
    found = lb.evaluate(experiment.model, x, samples=100).bits_per_dimension
    assert found.value == pytest.approx(truth, abs=0.05)


def test_a_likelihood_made_by_hand_stays_as_it_was_made():
    network = lb.MLP(2, (), 4)
    network.layers[0].bias.data.fill_(5.0)
    recipes.compose(COUNTS, 2, likelihood=lb.Poisson(network, (4,)))
    assert (network.layers[0].bias == 5).all()


def test_few_examples_are_passed_over_until_there_are_three_thousand_steps():
    assert recipes.mlp(COUNTS, hidden=(4,)).training.epochs == 3000
    assert recipes.mlp(torch.zeros(20_000, 1), hidden=(4,)).training.epochs == 20
    assert recipes.mlp(COUNTS, hidden=(4,), epochs=3).training.epochs == 3


@pytest.mark.parametrize("name", GREY_LIKELIHOODS)
@pytest.mark.parametrize("recipe", [recipes.mlp, recipes.convolutional])
def test_every_likelihood_of_grey_images_trains_a_step(name, recipe):
    sizes = {"hidden": (8,)} | ({"channels": (4, 4)} if recipe is recipes.convolutional else {})
    model = recipe(GREY, latent_dim=2, likelihood=name, conditional=True, **sizes).model
    terms = lb.ELBO()(model, *model.prepare(GREY.x, GREY.labels))
    terms.objective.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.sample(3, torch.tensor([0, 5, 9])).shape == (3, 1, 28, 28)


@pytest.mark.parametrize("name", ["mlp", "convolutional"])
def test_a_mixtures_logistics_are_told_apart_from_a_priors_components(name):
    chosen = ["likelihood=LogisticMixture", "likelihood.components=3"]
    chosen += ["prior=GaussianMixture", "prior.components=4"]
    settings = recipes.parse([*chosen, "hidden=8"])
    recipes.check(name, settings)
    model = recipes.prepare(name, GREY, settings).model
    assert (model.likelihood.components, model.prior.components) == (3, 4)
    x, _ = model.prepare(GREY.x)
    mixed = model.likelihood(torch.zeros(30, model.latent_dim)).base_dist
    assert mixed.logits.shape == (30, 1, 28, 28, 3)
    assert model.is_density
    assert model.draws(x).log_w.isfinite().all()


def test_settings_of_likelihoods_reach_them():
    fixed = recipes.prepare(
        "mlp", REAL, {"likelihood": "StudentT", "likelihood.degrees": 4, "hidden": [8]}
    )
    assert fixed.model.likelihood.degrees == 4
    assert (
        recipes.prepare(
            "mlp", REAL, {"likelihood": "Gaussian", "likelihood.sigma": 0.5}
        ).model.likelihood.sigma
        == 0.5
    )
    assert recipes.prepare("linear", REAL, {}).model.likelihood.sigma == "learned"


@pytest.mark.parametrize("name", ["Poisson", "NegativeBinomial", "ZeroInflatedNegativeBinomial"])
def test_counts_are_scored_as_they_are_and_encoded_by_their_logarithms(name):
    model = recipes.mlp(COUNTS, latent_dim=2, hidden=(8,), likelihood=name).model
    assert model.is_density
    x, _ = model.prepare(COUNTS.x)
    assert torch.equal(x, COUNTS.x)
    encoder = model.posterior.network
    logs = torch.log1p(COUNTS.x)
    standardised = (logs - logs.mean(0)) / logs.std(0, correction=0)
    torch.testing.assert_close(encoder(x), encoder.network(standardised))
    result = lb.evaluate(model, COUNTS, samples=3)
    assert result.measures == "log-probability of x"
    bound = -result.importance_weighted.value / (4 * math.log(2))
    assert result.bits_per_dimension.value == pytest.approx(bound)


def test_autoencoders_have_no_noise_and_the_wasserstein_one_compares_codes_with_the_prior():
    for name, objective in (("autoencoder", lb.Reconstruction()), ("wae", lb.InfoVAE())):
        experiment = recipes.prepare(name, GREY, {"hidden": [8]})
        assert experiment.objective == objective
        assert isinstance(experiment.model.posterior, lb.Deterministic)
        terms = objective(experiment.model, *experiment.model.prepare(GREY.x))
        assert terms.objective.isfinite().all()


def test_the_tcvae_knows_the_size_of_its_training_set():
    assert recipes.prepare("tcvae", COUNTS, {"objective.beta": 4}).objective == lb.TCVAE(
        30, beta=4.0
    )


def test_standardised_values_have_mean_0_and_variance_1_and_come_back():
    transform = recipes.mlp(REAL).model.transform
    y = transform(REAL.x)
    torch.testing.assert_close(y.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(0), torch.ones(4))
    torch.testing.assert_close(transform.inverse(y), REAL.x)


def test_settings_reach_the_parts():
    settings = recipes.parse(
        ["hidden=64,32", "objective.beta=Linear", "objective.beta.duration=5", "epochs=3"]
    )
    experiment = recipes.prepare("mlp", GREY, settings)
    assert experiment.objective == lb.ELBO(beta=lb.Linear(duration=5))
    assert experiment.training.epochs == 3
    assert experiment.model.posterior.network.layers[2].out_features == 32


def test_a_part_is_chosen_by_name_and_one_number_is_a_list():
    settings = recipes.parse(["objective=IWAE", "objective.samples=5", "hidden=16"])
    assert recipes.prepare("mlp", GREY, settings).objective == lb.IWAE(samples=5)


def test_a_table_s_networks_start_without_their_skip_and_may_be_linear():
    x = torch.randn(40, 3)
    for part in ("posterior", "likelihood"):
        network = getattr(lb.recipes.table(x).model, part).network
        rows = torch.randn(5, network.skip.in_features)
        assert torch.equal(network(rows), network.layers(rows))
        torch.nn.init.normal_(network.skip.weight)
        for layer in network.layers[-1].parameters():
            torch.nn.init.zeros_(layer)
        torch.testing.assert_close(network(rows), rows @ network.skip.weight.T)


def test_the_network_is_a_part_and_the_decoder_its_mirror():
    chosen = ["network=Convolutional", "network.channels=4,8", "latent_dim=3"]
    settings = recipes.parse([*chosen, "normalisation=layer", "residual=1"])
    model = recipes.prepare("mlp", GREY, settings).model
    for network in (model.posterior.network, model.likelihood.network):
        described = lb.parts.describe(network)
        assert (described["normalisation"], described["residual"]) == ("layer", 1)
    assert isinstance(model.posterior.network, lb.Convolutional)
    assert isinstance(model.likelihood.network, lb.Deconvolutional)
    assert model.likelihood.network.maps == model.posterior.network.maps == (8, 7, 7)
    decoder = {"part": "MLP", "hidden": [16]}
    mixed = recipes.compose(
        GREY,
        3,
        network=partial(lb.Convolutional, channels=(4, 8)),
        likelihood={"part": "Bernoulli", "network": decoder},
    )
    assert isinstance(mixed.posterior.network, lb.Convolutional)
    assert isinstance(mixed.likelihood.network, lb.MLP)


@pytest.mark.parametrize("axis", ["prior", "posterior", "likelihood", "transform", "network"])
def test_a_part_that_compose_does_not_know_is_named(axis):
    with pytest.raises(ConfigurationError, match=f"{axis}: expected one of .* got 'Vamp'"):
        recipes.compose(GREY, **{axis: "Vamp"})


def test_complete_parts_are_taken_as_they_are():
    prior = lb.GaussianMixture(3, 4)
    model = recipes.compose(COUNTS, 3, network=partial(lb.MLP, hidden=(8,)), prior=prior)
    assert model.prior is prior
    assert isinstance(model.likelihood, lb.NegativeBinomial)


def test_iwae_is_the_papers_network():
    experiment = recipes.prepare("iwae", GREY, {})
    layers = experiment.model.posterior.network.layers
    assert [layer.out_features for layer in layers[::2]] == [200, 200, 100]
    assert experiment.objective == lb.IWAE(samples=50)
    assert isinstance(experiment.model.transform, lb.Binarise)
    assert experiment.training.batch_size == 20


LABELLED = Dataset(torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 3)
SMALL = {
    **{name: {"hidden": [8], "latent_dim": 3} for name in ("iaf", "flow-prior", "full-covariance")},
    "vampprior": {"hidden": [8], "latent_dim": 3, "prior.components": 5},
    "mixture": {"hidden": [8], "latent_dim": 3, "prior.components": 5},
    "hierarchical-vampprior": {"latent_dims": [3, 2], "width": 8, "prior.components": 5},
    "iwae-2": {"latent_dims": [3, 2], "hidden": [8, 6], "objective.samples": 3},
}


@pytest.mark.parametrize("name", SMALL)
def test_other_priors_and_posteriors_train_and_are_judged_and_pictured(name):
    experiment = recipes.prepare(name, LABELLED, SMALL[name] | {"epochs": 1})
    model = experiment.model
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    history = lb.fit(model, LABELLED, None, experiment.objective, experiment.training, callbacks=[])
    beta_is_0 = name in ("vampprior", "hierarchical-vampprior")  # at the first step of its warm-up
    changed = [
        key for key, value in model.named_parameters() if not torch.equal(value, before[key])
    ]
    assert beta_is_0 or set(changed) == set(before)
    result = lb.evaluate(model, LABELLED, samples=4)
    assert result.importance_weighted.value >= result.elbo.value - 0.5
    outcome = Outcome(model, LABELLED, result, history, objective=experiment.objective)
    shown = {section.name for section in sections(outcome)}
    assert {"curves", "reconstructions", "samples", "latent", "traversals"} <= shown
    has_normal_prior = isinstance(model.prior, lb.StandardNormal)
    assert ("aggregate" in shown) == has_normal_prior
    assert ("manifold" in shown) == (model.latent_dim == 2)
    assert "kl" not in shown
    assert model.sample(2).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("posterior", ["DiagonalGaussian", "FullGaussian", "FlowPosterior"])
@pytest.mark.parametrize(
    "prior", ["StandardNormal", "ConditionalGaussian", "GaussianMixture", "VampPrior", "FlowPrior"]
)
def test_priors_and_posteriors_are_chosen_by_name(prior, posterior):
    chosen = [f"prior={prior}", f"posterior={posterior}", "conditional=true"]
    if prior in ("GaussianMixture", "VampPrior"):
        chosen.append("prior.components=4")
    settings = recipes.parse([*chosen, "hidden=8", "latent_dim=2"])
    model = recipes.prepare("mlp", LABELLED, settings).model
    assert (type(model.prior).__name__, type(model.posterior).__name__) == (prior, posterior)
    terms = lb.ELBO()(model, *model.prepare(LABELLED.x, LABELLED.labels))
    terms.objective.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_pseudo_inputs_start_at_data():
    model = recipes.prepare("vampprior", LABELLED, SMALL["vampprior"]).model
    data = model.transform.noiseless(LABELLED.x)
    for u in model.prior.pseudo_inputs:
        assert (data == u).flatten(1).all(1).any()


def test_two_layers_are_the_papers_network():
    model = recipes.prepare("iwae-2", GREY, {}).model
    sizes = [
        [layer.out_features for layer in part.network.layers[::2]]
        for part in (*model.posterior.layers, *model.prior.layers, model.likelihood.network)
    ]
    assert sizes == [[200, 200, 200], [100, 100, 100], [100, 100, 200], [200, 200, 784]]
    assert (model.posterior.sizes, model.prior.sizes) == ([100, 50], [100, 50])


def test_vampprior_is_the_papers_network():
    experiment = recipes.prepare("vampprior", GREY, {})
    layers = experiment.model.posterior.network.layers
    assert [layer.out_features for layer in layers[::2]] == [600, 600, 80]
    assert isinstance(layers[1], torch.nn.GLU)
    assert experiment.objective.beta == lb.Linear(duration=100)
    assert (experiment.training.batch_size, experiment.training.learning_rate) == (100, 5e-4)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["epoch=3"], "unknown setting 'epoch'; did you mean epochs"),
        (["latent=3"], "did you mean latent_dim"),
        (
            ["epochs=many"],
            "expected epochs to be a whole number from 1 to 2,147,483,647, got 'many'",
        ),
        (["epochs=0"], "expected epochs to be a whole number from 1 to .*, got 0"),
        (["hidden=a"], "hidden"),
        (["objective.betta=4"], "unknown argument 'betta'; did you mean beta"),
        (["objective.beta.duration=4"], "expected a part with arguments"),
        (["prior=Vamp"], "prior: expected one of ConditionalGaussian, .*did you mean VampPrior"),
        (["likelihood=Poison"], "likelihood"),
        (["epochs"], "expected --set key=value"),
        (
            ["likelihood=LogisticMixture", "likelihood.components=0"],
            "expected components to be a whole number from 1 to .*, got 0",
        ),
        (
            ["likelihood=StudentT", "likelihood.degrees=few"],
            "degrees to be a number or learned, got",
        ),
        (["sigma=1"], r"unknown setting 'sigma'; did you mean likelihood.sigma \(of Gaussian\)"),
        (["binarise=true"], "unknown setting 'binarise'; did you mean transform=Binarise"),
        (["likelihood.sigma=1"], "expected a part with arguments of its own at 'likelihood'"),
        (["latent_dim=0"], "expected latent_dim to be a whole number from 1 to .*, got 0"),
        (["hidden=-3"], r"hidden to be whole numbers from 1 to .*, as in 300,100, got \[-3\]"),
        (["objective=IWAE", "objective.gradient=drag"], "gradient"),
        (["ema=1"], "expected ema to be a number above 0 and below 1 or none, got 1"),
        (["optimizer=Adam"], "expected optimizer to be adam or adamw, got 'Adam'"),
        (["conditional=maybe"], "expected conditional to be true or false, got 'maybe'"),
        (["objective.beta=x"], "to be a number, Linear, Exponential or Cyclical, got 'x'"),
        ([f"seed={2**63}"], "expected seed to be a whole number from 0 to 9,.*, got 9"),
        (["network=Convolutional"], "Convolutional: missing argument 'channels'"),
        (["objective=-0.0"], "objective: expected one of ELBO, .*, got -0.0"),
        (["objective=1,2"], r"objective: expected one of ELBO, .*, got \[1, 2\]"),
        (["prior=1"], "prior: expected one of ConditionalGaussian, .*, got 1"),
        (
            ["likelihood=null"],
            "likelihood: expected one of Autoregressive, Bernoulli, .*auto, got None",
        ),
        (['prior={"part": [3]}'], r"prior: expected one of .*, got \[3\]"),
        (
            ["likelihood=Gaussian", "likelihood.sigma={}"],
            "sigma to be a number, learned, elementwise, decoded or optimal, got {}",
        ),
        (
            ["likelihood=Categorical", f"likelihood.levels={10**20}"],
            "levels to be a whole number from 2",
        ),
        (["objective.free_bits=1e300"], "a weight free_bits from 0 to 3.4e.38, got 1e.300"),
        (["objective.beta=1e300"], "a weight beta from 0 to 3.4e.38, got 1e.300"),
        ([f"batch_size={10**20}"], "batch_size to be a whole number from 1"),
        ([f"hidden={10**20}"], "hidden to be whole numbers from 1"),
    ],
)
def test_wrong_settings_are_refused_without_data(assignments, message):
    with pytest.raises(ConfigurationError, match=message) as refused:
        recipes.check("mlp", recipes.parse(assignments))
    assert len(str(refused.value)) <= 500


@pytest.mark.parametrize(
    "settings", [{"hidden": 10**9}, {"latent_dim": 10**9}, {"hidden": (2 * 10**9, 2 * 10**9)}]
)
def test_a_model_larger_than_memory_is_refused_before_it_takes_any(settings, monkeypatch):
    monkeypatch.setattr("lowerbound.recipes.size.memory", lambda: 1e9)
    with pytest.raises(ConfigurationError, match=r"trained in memory \(1.0 GB\), got sizes that"):
        recipes.mlp(GREY, **settings)
    with pytest.raises(ConfigurationError, match=r"trained in memory"):
        recipes.compose(GREY, 10**9)


def test_training_takes_four_numbers_for_each_weight(monkeypatch):
    weights = 16 * (1000 * 1000 + 1000)
    for memory, fits in ((weights - 1, False), (weights + 10**5, True)):
        monkeypatch.setattr("lowerbound.recipes.size.memory", lambda memory=memory: memory)
        with nullcontext() if fits else pytest.raises(ConfigurationError), within_memory():
            torch.nn.Linear(1000, 1000)


def test_an_unknown_recipe_lists_the_near_ones():
    with pytest.raises(ConfigurationError, match="did you mean mlp"):
        recipes.check("mpl", {})


@pytest.mark.parametrize(
    ("recipe", "data", "settings", "message"),
    [
        ("convolutional", REAL, {}, "expected images"),
        ("mlp", REAL, {"likelihood": "Bernoulli"}, "likelihood=auto fits them"),
        ("mlp", UNIT, {"likelihood": "Categorical"}, "likelihood=auto fits them"),
        ("mlp", REAL, {"likelihood": "NegativeBinomial"}, "data that are counts or grey"),
        ("mlp", UNIT, {"likelihood": "BetaBinomial"}, "data that are grey"),
        ("mlp", COUNTS, {"likelihood": "LogisticMixture"}, "data that are grey"),
        ("tcvae", COUNTS, {"objective.beta": -1}, "expected a weight beta from 0 to .*, got -1"),
        ("iwae-2", GREY, {"prior": "VampPrior"}, "unknown setting 'prior'"),
        ("mlp", REAL, {"transform": "Binarise"}, "to binarise"),
        (
            "mlp",
            GREY,
            {"likelihood": "Bernoulli", "likelihood.components": 3},
            "unknown argument 'components'",
        ),
        ("mlp", REAL, {"likelihood": "Gaussian", "likelihood.degrees": 3.0}, "unknown argument"),
        (
            "convolutional",
            GREY,
            {"sigma": "optimal"},
            r"did you mean likelihood.sigma \(of Gaussian\)",
        ),
        ("mlp", REAL, {"conditional": True}, "expected class labels"),
        ("mlp", REAL, {"prior": "ConditionalGaussian"}, "add --set conditional=true"),
    ],
)
def test_data_that_do_not_fit_are_refused(recipe, data, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        recipes.prepare(recipe, data, settings)


def test_ranges_count_as_memory_and_are_what_they_are():
    def refused(wanted: int) -> Exception:
        return ConfigurationError(f"{wanted} bytes")

    with Allocations(10_000, 0, refused):
        torch.testing.assert_close(torch.arange(2, 12, 3), torch.tensor([2, 5, 8, 11]))
        assert torch.arange(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75]
        assert torch.arange(7, device="meta", dtype=torch.float64).shape == (7,)
        with pytest.raises(ConfigurationError, match=r"8000000\d* bytes"):
            torch.arange(1_000_000_000)


def test_a_part_of_no_such_name_is_named_where_its_arguments_are_set_too():
    settings = {"objective": "iwae", "objective.samples": 10}
    with pytest.raises(ConfigurationError, match="got 'iwae'; did you mean IWAE"):
        lb.recipes.table(np.eye(9, 3), **settings)
