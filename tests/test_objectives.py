"""Bounds on models whose evidence is known, and the identities between objectives."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import lowerbound as lb
from lowerbound.corruptions import BernoulliDraw
from lowerbound.distributions import DiagonalNormal
from lowerbound.divergences import gaussian_total_correlation, kl, kl_terms, mmd
from lowerbound.errors import ConfigurationError
from lowerbound.objectives import Terms, aggregate_log_densities
from lowerbound.schedules import Schedule
from lowerbound.streams import bernoulli
from test_evaluation import draw, evidence, linear_gaussian


def exact(posterior_scale: float = 1.3, n: int = 64):
    model, W = linear_gaussian(posterior_scale)
    data = draw(W, n)
    return model.double(), data.x.double(), evidence(W, data).double()


def deterministic() -> lb.VAE:
    posterior = lb.Deterministic(lb.MLP(5, (), 2), 2)
    return lb.VAE(lb.StandardNormal(2), posterior, lb.Gaussian(lb.MLP(2, (), 5), (5,), 1.0))


def test_log_weights_at_the_exact_posterior_are_the_evidence():
    model, x, log_p = exact(posterior_scale=1.0)
    log_w = model.draws(x, 5).log_w
    torch.testing.assert_close(log_w, log_p.expand(5, -1), atol=2e-5, rtol=0)


def test_the_mean_weight_is_the_evidence_under_any_posterior():
    model, x, log_p = exact(posterior_scale=1.4)
    d = model.draws(x, 20_000)
    torch.testing.assert_close(d.log_w.logsumexp(0) - math.log(20_000), log_p, atol=0.05, rtol=0)
    torch.testing.assert_close(d.log_w, d.log_likelihood + d.log_p - d.log_q)
    torch.testing.assert_close(d.kl, d.log_ratio.mean(0), atol=0.05, rtol=0)


def test_draws_by_parts_and_at_codes_from_elsewhere_are_the_same_draws():
    model, x, _ = exact()
    given = model.given(x)
    torch.manual_seed(0)
    whole = given.draws(7)
    torch.manual_seed(0)
    parts = [given.draws(1) for _ in range(7)]
    torch.testing.assert_close(torch.cat([part.log_w for part in parts]), whole.log_w)
    torch.testing.assert_close(given.at(whole.z).log_w, whole.log_w)


def test_draws_are_of_the_posterior_of_what_is_seen():
    model, x, _ = exact()
    seen = x.flip(0)
    torch.manual_seed(0)
    d = model.draws(x, 3, seen=seen)
    torch.manual_seed(0)
    z = model.posterior(seen).rsample((3,))
    torch.testing.assert_close(d.z, z)
    torch.testing.assert_close(d.log_q, model.posterior(seen).log_prob(z))
    torch.testing.assert_close(d.log_likelihood, model.likelihood(z).log_prob(x))


class UniformPosterior(torch.nn.Module):
    """A user's own, that factorises: q(z|x) = ∏ⱼ U(μⱼ(x) − 1, μⱼ(x) + 1)."""

    class Box(torch.distributions.Distribution):
        def __init__(self, mean: torch.Tensor) -> None:
            self.marginals = torch.distributions.Uniform(mean - 1, mean + 1, validate_args=False)
            super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

        mean = property(lambda self: self.marginals.mean)

        def rsample(self, sample_shape=()):
            return self.marginals.rsample(sample_shape)

        def log_prob(self, value):
            return self.marginals.log_prob(value).sum(-1)

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim, self.layer = 2, torch.nn.Linear(5, 2)

    def forward(self, x, context=None):
        return self.Box(self.layer(x))


def test_a_users_own_factorising_posterior_has_a_kl_for_each_dimension():
    """KL(U(μ − 1, μ + 1) ‖ N(0, 1)) = (μ² + ⅓)/2 + ½ log 2π − log 2."""
    model, x, _ = exact()
    model.posterior = UniformPosterior().double()
    terms = 0.5 * (model.posterior(x).mean ** 2 + 1 / 3 + math.log(2 * math.pi)) - math.log(2)
    d = model.draws(x)
    torch.testing.assert_close(kl_terms(d.q, d.p), terms)
    torch.testing.assert_close(d.kl, terms.sum(1))
    found = lb.evaluate(model, x, samples=2).kl_per_dimension
    assert found == pytest.approx(terms.mean(0).tolist(), rel=1e-6)
    torch.manual_seed(0)
    parts = lb.TCVAE(500)(model, x).others
    torch.manual_seed(0)
    torch.testing.assert_close(sum(parts.values()), model.draws(x).log_ratio[0])
    assert lb.ELBO(free_bits=0.1)(model, x).objective.isfinite().all()


def test_elbo_plus_divergence_from_the_posterior_is_the_evidence():
    model, x, log_p = exact()
    terms = lb.ELBO(samples=4000)(model, x)
    gap = 2 * (0.5 * (1.3**2 - 1) - math.log(1.3))
    torch.testing.assert_close(terms.bound.mean(), (log_p - gap).mean(), atol=0.02, rtol=0)


def test_iwae_with_one_sample_is_the_sampled_elbo_and_rises_with_k():
    model, x, log_p = exact()
    torch.manual_seed(3)
    one = lb.IWAE(samples=1)(model, x).bound
    torch.manual_seed(3)
    torch.testing.assert_close(one, model.draws(x, 1).log_w.squeeze(0))
    many = x.repeat(200, 1)
    bounds = [lb.IWAE(samples=k)(model, many).bound.mean() for k in (1, 3, 10, 100)]
    assert bounds == sorted(bounds)
    assert bounds[-1].item() == pytest.approx(log_p.mean().item(), abs=0.01)
    elbo = lb.ELBO(samples=2000)(model, x).bound.mean()
    assert bounds[0].item() == pytest.approx(elbo.item(), abs=0.03)


def test_a_trimmed_elbo_is_that_of_the_highest_and_does_not_feel_the_others():
    model, x, _ = exact()
    far = x.clone().index_fill_(0, torch.tensor([3, 40]), 1e3).requires_grad_()

    def terms(objective: lb.ELBO, time: float = math.inf) -> Terms:
        torch.manual_seed(0)
        return objective(model, far, time=time)

    plain = terms(lb.ELBO()).objective
    trimmed = terms(lb.Trimmed(share=0.25)).objective
    torch.testing.assert_close(trimmed.mean(), plain.sort(descending=True).values[:48].mean())
    (felt,) = torch.autograd.grad(trimmed.sum(), far)
    assert (felt == 0).all(1).sum() == 16
    assert not felt[[3, 40]].any()
    early = terms(lb.Trimmed(share=lb.Linear(start=2, final=0.25)), time=1.0)
    torch.testing.assert_close(early.objective, plain)
    assert early.bound is None


class InFloat32(Schedule):
    """A share as a compiled step has it."""

    def __init__(self, share: float):
        self.share = share

    def __call__(self, t: float) -> torch.Tensor:
        return torch.tensor(self.share, dtype=torch.float32)


@pytest.mark.parametrize("n", [1, 50, 100, 250])
def test_a_trimmed_elbo_leaves_out_the_whole_part_of_the_share(n):
    """As 29 of 100 for 0.29, which is a little less as a float; and never all."""
    model, x, _ = exact(n=n)
    for percent in range(100):
        for share in (percent / 100, InFloat32(percent / 100)):
            found = lb.Trimmed(share)(model, x).objective
            assert (found == 0).sum() == percent * n // 100
    assert (lb.Trimmed(1 - 1e-9)(model, x).objective != 0).sum() == 1


def gradients(model: lb.VAE, x: torch.Tensor, objective: lb.IWAE) -> torch.Tensor:
    model.zero_grad()
    objective(model, x).objective.mean().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_dreg_has_the_same_expected_gradient_and_less_noise_in_the_encoder():
    model, x, _ = exact(n=8)
    # Away from any optimum, so that gradients are not zero.
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    many = x.repeat(30, 1)
    draws = {
        name: torch.stack([gradients(model, many, lb.IWAE(8, name)) for _ in range(100)])
        for name in ("standard", "dreg")
    }
    means = {name: g.mean(0) for name, g in draws.items()}
    error = sum(g.var(0) / len(g) for g in draws.values()).sqrt()
    assert ((means["standard"] - means["dreg"]).abs() < 4.5 * error + 1e-9).all()
    encoder = sum(p.numel() for p in model.posterior.parameters())
    noise = {name: g[:, :encoder].var(0).sum() for name, g in draws.items()}
    assert noise["dreg"] < 0.7 * noise["standard"]


def test_dreg_leaves_the_value_alone():
    model, x, _ = exact()
    values = []
    for gradient in ("standard", "dreg"):
        torch.manual_seed(2)
        values.append(lb.IWAE(5, gradient)(model, x).named())
    for name in values[0]:
        torch.testing.assert_close(values[0][name], values[1][name])


def test_beta_weighs_the_kl_alone():
    model, x, _ = exact()
    torch.manual_seed(0)
    plain = lb.ELBO()(model, x)
    torch.manual_seed(0)
    weighted = lb.ELBO(beta=4.0)(model, x)
    torch.testing.assert_close(plain.objective, plain.bound)
    torch.testing.assert_close(plain.bound, -plain.reconstruction - plain.kl)
    torch.testing.assert_close(weighted.bound, plain.bound)
    torch.testing.assert_close(weighted.objective, plain.bound - 3 * plain.kl)


def test_a_schedule_gives_beta_at_the_time():
    model, x, _ = exact()
    objective = lb.ELBO(beta=lb.Linear(start=4, duration=8))
    for time, beta in ((0.0, 0.0), (4.0, 0.0), (8.0, 0.5), (30.0, 1.0), (math.inf, 1.0)):
        terms = objective(model, x, None, time)
        expected = -terms.reconstruction - beta * terms.kl
        torch.testing.assert_close(terms.objective, expected)


def test_free_bits_hold_each_dimension_above_the_floor():
    model, x, _ = exact()
    with torch.no_grad():
        q = model.posterior(x)
    kls = -0.5 * (1 + q.log_variance - q.variance - q.mean**2)
    floor = float(kls.mean(0).min() + 0.2)
    torch.manual_seed(0)
    terms = lb.ELBO(free_bits=floor)(model, x)
    expected = -terms.reconstruction - kls.mean(0).clamp(min=floor).sum()
    torch.testing.assert_close(terms.objective, expected)
    torch.testing.assert_close(terms.bound, -terms.reconstruction - kls.sum(1))
    torch.manual_seed(0)
    low = lb.ELBO(free_bits=float(kls.mean(0).min()) / 2)(model, x)
    torch.testing.assert_close(low.objective.mean(), low.bound.mean())


def test_terms_are_sums_over_pixels_and_dimensions():
    """Twice the pixels, twice the reconstruction; twice the dimensions, twice the KL."""
    for pixels, dims in ((10, 3), (20, 6)):
        decoder, encoder = lb.MLP(dims, (), pixels), lb.MLP(pixels, (), 2 * dims)
        with torch.no_grad():
            for layer in (*decoder.layers, *encoder.layers):
                layer.weight.zero_()
                layer.bias.zero_()
            encoder.layers[0].bias[:dims] = 1
        model = lb.VAE(
            lb.StandardNormal(dims),
            lb.DiagonalGaussian(encoder, dims),
            lb.Bernoulli(decoder, (pixels,)),
        )
        terms = lb.ELBO()(model, torch.zeros(4, pixels))
        torch.testing.assert_close(terms.reconstruction, torch.full((4,), pixels * math.log(2)))
        torch.testing.assert_close(terms.kl, torch.full((4,), 0.5 * dims))


def test_reconstruction_has_no_kl():
    model, x, _ = exact()
    torch.manual_seed(0)
    terms = lb.Reconstruction()(model, x)
    assert (terms.bound, terms.kl) == (None, None)
    assert set(terms.named()) == {"objective", "reconstruction"}
    torch.manual_seed(0)
    torch.testing.assert_close(terms.reconstruction, lb.ELBO()(model, x).reconstruction)


def test_penalties_are_what_they_say():
    """A linear encoder's Jacobian is its weight; the estimate of its norm has no bias."""
    encoder = lb.MLP(5, (), 2)
    W = encoder.layers[0].weight.detach()
    model = lb.VAE(
        lb.StandardNormal(2), lb.Deterministic(encoder, 2), lb.Gaussian(lb.MLP(2, (), 5), (5,))
    )
    x = torch.randn(20_000, 5)
    with torch.no_grad():  # as in validation
        terms = lb.Reconstruction(contraction=1.0)(model, x)
    error = 4.5 * terms.others["penalty"].std() / 20_000**0.5
    assert (terms.others["penalty"].mean() - W.square().sum()).abs() < error + 1e-6
    torch.testing.assert_close(terms.objective, -terms.reconstruction - terms.others["penalty"])
    sparse = lb.Reconstruction(sparsity=0.3)(model, x)
    torch.testing.assert_close(sparse.others["penalty"], 0.3 * model.encode(x).mean.abs().sum(-1))


def test_denoising_encodes_the_corrupted_and_scores_the_clean():
    model = deterministic()
    x, objective = torch.rand(6, 5), lb.Reconstruction(lb.Masking(0.5))
    model.train()
    torch.manual_seed(1)
    found = objective(model, x).objective
    torch.manual_seed(1)
    seen = lb.Masking(0.5)(x)
    assert 0 < (seen == 0).float().mean() < 1
    expected = model.likelihood(model.posterior(seen).mean).log_prob(x)
    torch.testing.assert_close(found, expected)
    model.eval()
    torch.testing.assert_close(
        objective(model, x).objective, lb.Reconstruction()(model, x).objective
    )


def test_a_deterministic_posterior_is_refused_by_the_elbo():
    model = deterministic()
    with pytest.raises(ConfigurationError, match="Reconstruction objective"):
        lb.ELBO()(model, torch.randn(3, 5))


@pytest.mark.parametrize(
    "make",
    [
        lambda: lb.ELBO(samples=0),
        lambda: lb.IWAE(samples=0),
        lambda: lb.ELBO(free_bits=-1),
        lambda: lb.ELBO(free_bits=1, free_bits_per="pixel"),
        lambda: lb.ELBO(beta=-1),
        lambda: lb.Renyi(alpha=-0.5),
        lambda: lb.Renyi(samples=0),
        lambda: lb.Trimmed(share=1),
        lambda: lb.Trimmed(share=lb.Linear(final=2)),
        lambda: lb.TCVAE(0),
        lambda: lb.TCVAE(),
        lambda: lb.TCVAE(10, gamma=-1),
        lambda: lb.InfoVAE(weight=-1),
        lambda: lb.InfoVAE(kernel="linear"),
        lambda: lb.Reconstruction(sparsity=-1),
        lambda: lb.Linear(duration=0),
        lambda: lb.Cyclical(ratio=0),
        lambda: lb.IWAE(gradient="dregs"),
    ],
)
def test_wrong_values_are_refused_when_made(make):
    with pytest.raises(ConfigurationError, match=r"expected|should|missing"):
        make()


def test_a_corrupted_elbo_codes_the_corrupted_and_reconstructs_the_clean():
    """E_q(z|x̃) log p(x|z) − KL(q(z|x̃) ‖ p) in training, and the plain ELBO in evaluation."""
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(5, (), 4), 2),
        lb.Gaussian(lb.MLP(2, (), 5), (5,), 1.0),
    )
    x, objective = torch.rand(6, 5), lb.ELBO(corruption=lb.BernoulliDraw())
    model.train()
    torch.manual_seed(0)
    found = objective(model, x).bound
    torch.manual_seed(0)
    q = model.posterior(torch.bernoulli(x))
    z = q.rsample((1,))
    expected = model.likelihood(z).log_prob(x)[0] - kl(q, model.prior(), z)
    torch.testing.assert_close(found, expected)
    model.eval()
    torch.manual_seed(0)
    found = objective(model, x).bound
    torch.manual_seed(0)
    torch.testing.assert_close(found, lb.ELBO()(model, x).bound)


def test_free_bits_in_total_hold_each_examples_kl_above_the_floor():
    model, x, _ = exact()
    kls = lb.ELBO()(model, x).kl
    floor = kls.median().item()
    torch.manual_seed(0)
    terms = lb.ELBO(free_bits=floor, free_bits_per="total")(model, x)
    expected = -terms.reconstruction - torch.where(kls > floor, kls, floor)
    torch.testing.assert_close(terms.objective, expected)
    torch.testing.assert_close(terms.bound, -terms.reconstruction - kls)


def test_renyi_is_the_iwae_at_0_and_the_elbo_at_1_and_falls_between():
    model, x, log_p = exact()
    found = {}
    for alpha in (0.0, 0.3, 1 - 1e-6, 1.0, 1 + 1e-6, 3.0):
        torch.manual_seed(4)
        found[alpha] = lb.Renyi(alpha, samples=20)(model.float(), x.float())
    torch.manual_seed(4)
    iwae = lb.IWAE(samples=20)(model, x.float())
    torch.manual_seed(4)
    log_w = model.draws(x.float(), 20).log_w
    torch.testing.assert_close(found[0.0].objective, iwae.bound)
    torch.testing.assert_close(found[1.0].objective, log_w.mean(0))
    for alpha in (1 - 1e-6, 1 + 1e-6):
        close = found[alpha].objective
        torch.testing.assert_close(close, log_w.mean(0), atol=2e-5, rtol=1e-6)
    falling = torch.stack([terms.objective for terms in found.values()])
    assert (falling.diff(dim=0) < 1e-4).all()
    assert (falling[0] > falling[-1]).all()
    for terms in found.values():
        torch.testing.assert_close(terms.bound, iwae.bound)
    tight, x, log_p = exact(posterior_scale=1.0)
    torch.testing.assert_close(lb.Renyi(0.7, 3)(tight, x).objective, log_p, atol=2e-5, rtol=0)


def test_renyi_leaves_the_renyi_divergence_between_gaussians():
    """log p(x) − L_α = D_α(q ‖ p(z|x)), known in closed form: q is 1.3 times too wide."""
    model, x, log_p = exact(n=16)
    torch.manual_seed(0)
    for alpha in (0.5, 0.9):
        found = lb.Renyi(alpha, samples=40_000)(model, x).objective
        blend = alpha + (1 - alpha) * 1.3**2
        divergence = math.log(1 / 1.3) - math.log(blend) / (2 * (alpha - 1))
        assert (log_p - found).mean().item() == pytest.approx(2 * divergence, abs=0.005)


def posteriors(n: int, d: int = 2) -> tuple[DiagonalNormal, torch.Tensor]:
    torch.manual_seed(5)
    q = DiagonalNormal(*(torch.randn(2, n, d, dtype=torch.float64) * 0.8))
    return q, q.rsample()


def mixture_log_densities(z: torch.Tensor, q: DiagonalNormal) -> tuple[torch.Tensor, torch.Tensor]:
    """log q(z) and Σⱼ log q(zⱼ) of the equal mixture of the posteriors, by torch's mixtures."""
    n, d = q.mean.shape
    weights = Categorical(torch.ones(n, dtype=torch.float64))
    joint = MixtureSameFamily(weights, Independent(Normal(q.mean, q.stddev), 1)).log_prob(z)
    factors = [
        MixtureSameFamily(weights, Normal(q.mean[:, j], q.stddev[:, j])).log_prob(z[:, j])
        for j in range(d)
    ]
    return joint, torch.stack(factors).sum(0)


def test_the_aggregate_of_the_whole_data_set_is_exact():
    q, z = posteriors(30)
    for found, expected in zip(
        aggregate_log_densities(z, q, 30), mixture_log_densities(z, q), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_the_aggregate_of_a_batch_is_unbiased():
    """Over all batches of 3 of 7 examples, the mean of the estimate of q(z₀) is q(z₀)."""
    q, z = posteriors(7)
    estimates = []
    for others in itertools.combinations(range(1, 7), 2):
        rows = [0, *others]
        batch = DiagonalNormal(q.mean[rows], q.log_variance[rows])
        estimates.append(aggregate_log_densities(z[rows], batch, 7)[0][0].exp())
    expected = mixture_log_densities(z, q)[0][0].exp()
    torch.testing.assert_close(torch.stack(estimates).mean(), expected)
    alone = DiagonalNormal(q.mean[:1], q.log_variance[:1])
    torch.testing.assert_close(aggregate_log_densities(z[:1], alone, 7)[0], alone.log_prob(z[:1]))


def test_tcvae_splits_the_kl_and_weighs_its_parts():
    model, x, _ = exact()
    torch.manual_seed(0)
    terms = lb.TCVAE(500, alpha=2.0, beta=6.0, gamma=0.5)(model, x)
    torch.manual_seed(0)
    q = model.posterior(x)
    z = q.rsample()
    parts = [
        terms.others[name] for name in ("mutual_information", "total_correlation", "dimension_kl")
    ]
    torch.testing.assert_close(sum(parts), q.log_prob(z) - model.prior().log_prob(z))
    penalty = 2 * parts[0] + 6 * parts[1] + 0.5 * parts[2]
    torch.testing.assert_close(terms.objective, -terms.reconstruction - penalty)
    torch.manual_seed(0)
    torch.testing.assert_close(terms.bound, lb.ELBO()(model, x).bound)


def test_tcvae_finds_the_parts_of_a_gaussian_aggregate():
    """x ~ N(0, Σ), q(z|x) = N(x, s²): q(z) = N(0, Σ + s²), whose parts are known."""
    torch.manual_seed(0)
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.5]], dtype=torch.float64)
    s = 0.6
    x = torch.randn(3000, 2, dtype=torch.float64) @ torch.linalg.cholesky(covariance).T
    encoder, decoder = lb.MLP(2, (), 4), lb.MLP(2, (), 2)
    with torch.no_grad():
        encoder.layers[0].weight.copy_(torch.cat((torch.eye(2), torch.zeros(2, 2))))
        encoder.layers[0].bias.copy_(torch.tensor([0, 0, *[2 * math.log(s)] * 2]))
    model = lb.VAE(
        lb.StandardNormal(2), lb.DiagonalGaussian(encoder, 2), lb.Gaussian(decoder, (2,))
    ).double()
    with torch.no_grad():
        terms = lb.TCVAE(len(x))(model, x)
    total = covariance + s**2 * torch.eye(2)
    variances = total.diagonal()
    expected = {
        "mutual_information": 0.5 * torch.logdet(total / s**2),
        "total_correlation": gaussian_total_correlation(total),
        "dimension_kl": 0.5 * (variances - 1 - variances.log()).sum(),
    }
    for name, value in expected.items():
        assert terms.others[name].mean().item() == pytest.approx(value.item(), abs=0.05), name


def test_tcvae_refuses_what_does_not_factorise():
    model = deterministic()
    with pytest.raises(ConfigurationError, match="diagonal Gaussian posterior for TCVAE"):
        lb.TCVAE(10)(model, torch.randn(3, 5))


def test_infovae_weighs_the_kl_and_the_discrepancy():
    model, x, _ = exact()
    torch.manual_seed(0)
    terms = lb.InfoVAE(weight=7.0, beta=0.3, kernel="rbf")(model, x)
    torch.manual_seed(0)
    z = model.posterior(x).rsample()
    discrepancy = mmd(z, model.prior().sample((len(x),)), "rbf")
    torch.testing.assert_close(terms.others["mmd"], discrepancy.expand(len(x)))
    expected = -terms.reconstruction - 0.3 * terms.kl - 7 * discrepancy
    torch.testing.assert_close(terms.objective, expected)
    torch.testing.assert_close(terms.bound, -terms.reconstruction - terms.kl)
    assert lb.InfoVAE()(model, x[:1]).others["mmd"].item() == 0


@pytest.mark.slow
def test_the_discrepancy_alone_brings_deterministic_codes_to_the_prior():
    """Codes of a wide, shifted x; without the penalty they would stay where they are."""
    torch.manual_seed(0)
    x = 3 * torch.randn(512, 2) + 2
    moments = {}
    for weight in (0.0, 1000.0):
        torch.manual_seed(1)
        encoder = lb.MLP(2, (), 2)
        with torch.no_grad():
            encoder.layers[0].weight.copy_(torch.eye(2))
        model = lb.VAE(
            lb.StandardNormal(2), lb.Deterministic(encoder, 2), lb.Gaussian(lb.MLP(2, (), 2), (2,))
        )
        training = lb.Training(epochs=30, batch_size=128, learning_rate=0.02)
        record = lb.fit(model, x, objective=lb.InfoVAE(weight), training=training, callbacks=[])
        assert not {"kl", "bound"} & set(record[-1]["train"])
        z = model.embed(x)
        moments[weight] = z.mean(0).abs().max().item(), (z.std(0) - 1).abs().max().item()
    assert max(moments[1000.0]) < 0.2
    assert max(moments[0.0]) > 0.5


def test_infovae_refuses_the_kl_of_a_deterministic_posterior():
    model = deterministic()
    with pytest.raises(ConfigurationError, match="posterior with a density"):
        lb.InfoVAE(beta=0.5)(model, torch.randn(3, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.001, 0.3, 1.0])
def test_a_draw_is_one_with_its_probability(p, dtype):
    exact = torch.tensor(p, dtype=dtype)
    draws = bernoulli(exact.expand(400_000))
    assert draws.dtype == dtype
    assert set(draws.unique().tolist()) <= {0.0, 1.0}
    error = 5 * math.sqrt(p * (1 - p) / 400_000)
    assert draws.double().mean().item() == pytest.approx(exact.item(), abs=error)


def test_a_draw_of_what_is_no_probability_is_refused():
    with pytest.raises(ConfigurationError, match="values from 0 to 1 for BernoulliDraw"):
        BernoulliDraw()(torch.tensor([0.5, 1.5]))
