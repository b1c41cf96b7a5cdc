"""Each numbered step of docs/derivations.md by computer algebra, and lowerbound beside it.

Means over Gaussians are sympy's integrals.  In several dimensions x = μ + L u, and those integrals
are the moments of independent standard normal u.  Every positive definite Σ is L Lᵀ for one lower
triangular L with a positive diagonal, so symbols for L are symbols for Σ.
"""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path

import pytest
import sympy as sp
import torch
from sympy import Matrix, Rational, exp, expand, expand_log, log, oo, pi, simplify, sqrt

import lowerbound as lb
from lowerbound import distributions, divergences

PAGE = Path(__file__).parent.parent / "docs" / "derivations.md"
HALF = Rational(1, 2)

x, z, m = sp.symbols("x z m", real=True)
m1, m2, h1, h2 = sp.symbols("mu1 mu2 h1 h2", real=True)
s, s1, s2, S, t = sp.symbols("s sigma1 sigma2 S t", positive=True)


def zero(expression) -> bool:
    """Whether an expression, or every element of a matrix, is 0 for all values of its symbols.

    Logarithms of products become sums; then, logarithms being symbols, a fraction has numerator 0.
    """
    if isinstance(expression, sp.MatrixBase):
        return all(map(zero, expression))
    factored = sp.sympify(expression).replace(log, lambda inside: log(sp.factor(inside)))
    fraction = expand_log(factored, force=True).replace(log, logarithm)
    return sp.fraction(sp.together(fraction))[0].expand() == 0


@cache
def logarithm(inside):
    return sp.Dummy(f"log({inside})")


def logs(expression):
    return expand_log(log(expression), force=True)


def density(x, mean, sigma):
    return exp(-((x - mean) ** 2) / (2 * sigma**2)) / sqrt(2 * pi * sigma**2)


@cache
def moment(k: int):
    """E xᵏ over N(m, s²), as an integral."""
    return sp.integrate(density(x, m, s) * x**k, (x, -oo, oo))


def average(polynomial, x, mean, sigma):
    """E over N(mean, sigma²) of a polynomial in x, by linearity."""
    terms = sp.Poly(expand(polynomial), x).terms()
    values = {m: mean, s: sigma}
    return sum(factor * moment(k).subs(values, simultaneous=True) for (k,), factor in terms)


def assert_same_numbers(formula, symbols, function) -> None:
    """Both give the same at random points, where positive symbols get positive numbers."""
    expected = sp.lambdify(symbols, formula, "math")
    for _ in range(10):
        point = [random_number(symbol.is_positive) for symbol in symbols]
        found = function(*(torch.tensor(value, dtype=torch.float64) for value in point))
        assert found.item() == pytest.approx(expected(*point), rel=1e-9, abs=1e-9)


def random_number(positive: bool) -> float:
    return torch.rand(()).item() * 2 + 0.3 if positive else torch.randn(()).item()


# 1. Two univariate Gaussians.

q, p = density(x, m1, s1), density(x, m2, s2)
UNIVARIATE = log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - HALF
FOUR = (m1, s1, m2, s2)


def test_step_1_1_the_divergence_is_the_integral_of_q_log_q_over_p():
    forward = sp.integrate(q * expand(logs(q / p)), (x, -oo, oo))
    reversed_ratio = sp.integrate(q * expand(logs(p / q)), (x, -oo, oo))
    assert zero(forward + reversed_ratio)
    assert_same_numbers(forward, FOUR, divergences.univariate_gaussian_kl)
    point = {m1: 0.5, s1: 2, m2: 0, s2: 1}
    assert reversed_ratio.subs(point).evalf() < -0.1
    drawn_from, other = torch.distributions.Normal(0.5, 2.0), torch.distributions.Normal(0.0, 1.0)
    estimate, error = divergences.monte_carlo_kl(drawn_from, other, 20_000)
    assert abs(estimate - float(forward.subs(point))) < 4.5 * error < 0.2


def test_step_1_2_the_logarithm_of_a_gaussian_is_a_parabola():
    parabola = -HALF * log(2 * pi * s**2) - (x - m) ** 2 / (2 * s**2)
    assert zero(logs(density(x, m, s)) - parabola)
    assert simplify(average(1, x, m, s)) == 1
    assert simplify(average(x, x, m, s)) == m
    assert_same_numbers(parabola, (x, m, s), lambda x, m, s: lb_normal(m, s).log_prob(x))


def lb_normal(mean: torch.Tensor, sigma: torch.Tensor) -> torch.distributions.Distribution:
    return distributions.DiagonalNormal(mean[None], 2 * sigma.log()[None])


LOG_RATIO = log(s2 / s1) + (x - m2) ** 2 / (2 * s2**2) - (x - m1) ** 2 / (2 * s1**2)


def test_step_1_3_the_log_ratio():
    assert zero(logs(q / p) - LOG_RATIO)


def test_step_1_4_the_mean_square_is_the_variance():
    assert zero(average((x - m1) ** 2, x, m1, s1) - s1**2)


def test_step_1_5_the_mean_square_about_another_point():
    cross = (x - m1) * (m1 - m2)
    assert zero((x - m1) ** 2 + 2 * cross + (m1 - m2) ** 2 - (x - m2) ** 2)
    assert zero(average(cross, x, m1, s1))
    assert zero(average((x - m2) ** 2, x, m1, s1) - s1**2 - (m1 - m2) ** 2)


def test_step_1_6_the_divergence():
    assert zero(average(LOG_RATIO, x, m1, s1) - UNIVARIATE)
    assert_same_numbers(UNIVARIATE, FOUR, divergences.univariate_gaussian_kl)
    from_logs = UNIVARIATE.subs({s1: exp(h1 / 2), s2: exp(h2 / 2)})
    assert_same_numbers(from_logs, (m1, h1, m2, h2), divergences.diagonal_gaussian_kl_terms)


def test_step_1_7_the_divergence_is_zero_for_equal_gaussians_only():
    first = HALF * (t - 1 - log(t))
    assert zero(first.subs(t, s1**2 / s2**2) + (m1 - m2) ** 2 / (2 * s2**2) - UNIVARIATE)
    assert sp.solve(first.diff(t), t) == [1]
    assert first.diff(t, 2).is_positive
    assert first.subs(t, 1) == 0
    assert UNIVARIATE.subs({m2: m1, s2: s1}) == 0
    zeros = torch.linspace(-2, 2, 5)
    assert (divergences.univariate_gaussian_kl(zeros, zeros.exp(), zeros, zeros.exp()) == 0).all()


# 2. A diagonal Gaussian to N(0, I), in two dimensions.

z1, z2 = sp.symbols("z1 z2", real=True)
DIMENSIONS = ((z1, m1, s1), (z2, m2, s2))
RATIOS = [density(*each) / density(each[0], 0, 1) for each in DIMENSIONS]
TO_STANDARD = -HALF * sum(1 + log(b**2) - b**2 - a**2 for _, a, b in DIMENSIONS)


def standard_kl(*arguments: torch.Tensor) -> torch.Tensor:
    """KL to N(0, I) from μ₁, σ₁, μ₂, σ₂, …"""
    means, sigmas = torch.stack(arguments[::2]), torch.stack(arguments[1::2])
    return divergences.standard_normal_kl_terms(means, 2 * sigmas.log()).sum()


def test_step_2_1_the_logarithms_add():
    of_pair = sp.prod(density(*each) for each in DIMENSIONS)
    # The joint density of two dimensions, from its covariance matrix.
    covariance = sp.diag(s1**2, s2**2)
    off = Matrix([z1 - m1, z2 - m2])
    joint = exp(-(off.T * covariance.inv() * off)[0] / 2) / (2 * pi * sqrt(covariance.det()))
    standard = exp(-(z1**2 + z2**2) / 2) / (2 * pi)
    assert zero(logs(joint) - logs(of_pair))
    assert zero(logs(joint / standard) - sum(map(logs, RATIOS)))


def test_step_2_2_the_divergences_add():
    def over_both(f):
        return average(average(f, z1, m1, s1), z2, m2, s2)

    alone = [average(logs(ratio), *each) for ratio, each in zip(RATIOS, DIMENSIONS, strict=True)]
    assert zero(over_both(logs(RATIOS[0])) - alone[0])
    assert zero(over_both(logs(RATIOS[0]) + logs(RATIOS[1])) - sum(alone))
    assert_same_numbers(sum(alone), FOUR, standard_kl)


def test_step_2_3_one_dimension():
    found = -log(s1) + (s1**2 + m1**2) / 2 - HALF
    assert zero(found - UNIVARIATE.subs({m2: 0, s2: 1}))
    assert_same_numbers(found, (m1, s1), standard_kl)


def test_step_2_4_the_sum():
    to_standard = UNIVARIATE.subs({m2: 0, s2: 1})
    assert zero(TO_STANDARD - sum(to_standard.subs({m1: a, s1: b}) for _, a, b in DIMENSIONS))
    assert_same_numbers(TO_STANDARD, FOUR, standard_kl)


def test_step_2_5_the_gradient():
    of_logs = TO_STANDARD.subs({s1: exp(h1 / 2), s2: exp(h2 / 2)})
    by_mean, by_log = m1, (exp(h1) - 1) / 2
    assert zero(of_logs.diff(m1) - by_mean)
    assert zero(of_logs.diff(h1) - by_log)
    assert sp.solve([by_mean, by_log], [m1, h1]) == [(0, 0)]

    def gradient(argument: int):
        def by(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
            slope = torch.func.grad(divergences.standard_normal_kl_terms, argument)
            return slope(mean, log_variance)

        return by

    assert_same_numbers(by_mean, (m1, h1), gradient(0))
    assert_same_numbers(by_log, (m1, h1), gradient(1))


# 3. Two Gaussians with full covariance: in two dimensions with symbols, in three with fractions.

a, c, d, f = sp.symbols("a c d f", positive=True)
b, e, n1, n2, w1, w2, w3 = sp.symbols("b e n1 n2 w1 w2 w3", real=True)
MU_1, MU_2, X = Matrix([m1, m2]), Matrix([n1, n2]), Matrix([z1, z2])
L_1, L_2 = Matrix([[a, 0], [b, c]]), Matrix([[d, 0], [e, f]])
SIGMA_1, SIGMA_2 = L_1 * L_1.T, L_2 * L_2.T

L_3 = Matrix([[1, 0, 0], [Rational(1, 2), 2, 0], [-1, Rational(1, 3), Rational(3, 2)]])
K_3 = Matrix([[2, 0, 0], [-1, Rational(1, 2), 0], [Rational(2, 3), 1, 1]])
MU_3, NU_3 = Matrix([1, -2, Rational(1, 2)]), Matrix([0, Rational(1, 3), 2])
SYMBOLIC = (MU_1, L_1, MU_2, L_2)
CASES = [SYMBOLIC, (MU_3, L_3, NU_3, K_3), (NU_3, K_3, MU_3, L_3), (MU_3, L_3, NU_3, L_3)]


def gaussian_mean(polynomial, x, mean, L):
    """E over N(mean, L Lᵀ) of a polynomial in x, by x = mean + L u and the moments of u."""
    at_zero = {m: 0, s: 1}
    draws = sp.symbols(f"u1:{len(x) + 1}", real=True)
    changed = polynomial.subs(dict(zip(x, mean + L * Matrix(draws), strict=True)))
    terms = sp.Poly(expand(changed), *draws).terms()
    return sum(factor * sp.prod(moment(k).subs(at_zero) for k in ks) for ks, factor in terms)


def quadratic(v, A):
    return (v.T * A * v)[0]


def points_of(mean):
    return X if len(mean) == 2 else Matrix([w1, w2, w3])


def log_density(x, mean, covariance):
    constant = len(x) * log(2 * pi) + log(covariance.det())
    return -HALF * (constant + quadratic(x - mean, covariance.inv()))


def log_ratio(x, mean_1, L_1, mean_2, L_2):
    S_1, S_2 = L_1 * L_1.T, L_2 * L_2.T
    forms = quadratic(x - mean_2, S_2.inv()) - quadratic(x - mean_1, S_1.inv())
    return HALF * (log(S_2.det() / S_1.det()) + forms)


def full_kl(mean_1, S_1, mean_2, S_2):
    trace, form = (S_2.inv() * S_1).trace(), quadratic(mean_2 - mean_1, S_2.inv())
    return HALF * (trace + form - len(mean_1) + log(S_2.det() / S_1.det()))


def test_step_3_1_the_logarithm_of_the_density():
    U = L_1.inv() * (X - MU_1)
    changed_variables = density(U[0], 0, 1) * density(U[1], 0, 1) / L_1.det()
    assert zero(logs(changed_variables) - log_density(X, MU_1, SIGMA_1))
    assert gaussian_mean(sp.Integer(1), X, MU_1, L_1) == 1


def test_step_3_2_the_log_ratio():
    difference = log_density(X, MU_1, SIGMA_1) - log_density(X, MU_2, SIGMA_2)
    assert zero(difference - log_ratio(X, MU_1, L_1, MU_2, L_2))


def test_step_3_3_a_quadratic_form_is_a_trace():
    for size in (2, 3):
        A, vector = Matrix(sp.MatrixSymbol("A", size, size)), Matrix(sp.MatrixSymbol("v", size, 1))
        assert zero(quadratic(vector, A) - (A * vector * vector.T).trace())


@pytest.mark.parametrize(("mean", "L"), [case[:2] for case in CASES])
def test_step_3_4_the_mean_outer_product(mean, L):
    x, point = points_of(mean), Matrix(sp.symbols(f"p1:{len(mean) + 1}", real=True))
    outer = (x - point) * (x - point).T
    found = outer.applyfunc(lambda element: gaussian_mean(element, x, mean, L))
    assert zero(found - L * L.T - (mean - point) * (mean - point).T)


@pytest.mark.parametrize(("mean", "L"), [case[:2] for case in CASES])
def test_step_3_5_the_form_of_its_own_covariance_averages_to_d(mean, L):
    x, inverse = points_of(mean), (L * L.T).inv()
    assert zero((inverse * L * L.T).trace() - len(mean))
    assert zero(gaussian_mean(quadratic(x - mean, inverse), x, mean, L) - len(mean))


@pytest.mark.parametrize(("mean_1", "L_1", "mean_2", "L_2"), CASES)
def test_step_3_6_the_form_of_the_other_covariance(mean_1, L_1, mean_2, L_2):
    x, inverse = points_of(mean_1), (L_2 * L_2.T).inv()
    found = gaussian_mean(quadratic(x - mean_2, inverse), x, mean_1, L_1)
    expected = (inverse * L_1 * L_1.T).trace() + quadratic(mean_2 - mean_1, inverse)
    assert zero(found - expected)


@pytest.mark.parametrize(("mean_1", "L_1", "mean_2", "L_2"), CASES)
def test_step_3_7_the_divergence(mean_1, L_1, mean_2, L_2):
    x = points_of(mean_1)
    expected = full_kl(mean_1, L_1 * L_1.T, mean_2, L_2 * L_2.T)
    found = gaussian_mean(log_ratio(x, mean_1, L_1, mean_2, L_2), x, mean_1, L_1)
    assert zero(found - expected)
    free = sorted(expected.free_symbols, key=str)
    arguments = [mean_1, L_1 * L_1.T, mean_2, L_2 * L_2.T]
    assert_same_numbers(expected, free, full_gaussian_kl_of(arguments, free))


def full_gaussian_kl_of(arguments, free):
    """full_gaussian_kl of two means and two covariances, as a function of their free symbols."""
    numeric = sp.lambdify(free, arguments, "numpy")

    def function(*values: torch.Tensor) -> torch.Tensor:
        arrays = map(torch.as_tensor, numeric(*(value.item() for value in values)))
        mean_1, S_1, mean_2, S_2 = (array.double() for array in arrays)
        return divergences.full_gaussian_kl(mean_1[:, 0], S_1, mean_2[:, 0], S_2)

    return function


def test_step_3_8_diagonal_matrices():
    diagonal = sp.diag(a**2, c**2), sp.diag(d**2, f**2)
    elements = ((m1, a, n1, d), (m2, c, n2, f))
    of_each = [
        UNIVARIATE.subs(dict(zip(FOUR, element, strict=True)), simultaneous=True)
        for element in elements
    ]
    assert zero(full_kl(MU_1, diagonal[0], MU_2, diagonal[1]) - sum(of_each))
    free = (a, c, d, f, m1, m2, n1, n2)
    function = full_gaussian_kl_of([MU_1, diagonal[0], MU_2, diagonal[1]], free)
    assert_same_numbers(sum(of_each), free, function)


@pytest.mark.parametrize(("mean_1", "L_1", "mean_2", "L_2"), CASES)
def test_step_3_9_cholesky_factors(mean_1, L_1, mean_2, L_2):
    S_1, S_2 = L_1 * L_1.T, L_2 * L_2.T
    assert zero((S_2.inv() * S_1).trace() - sum(element**2 for element in L_2.inv() * L_1))
    diagonal = sum(log(L_1[i, i]) for i in range(len(mean_1)))
    assert zero(log(S_1.det()) - 2 * diagonal)


# 4. The evidence lower bound: for a latent with three values, and for the Gaussian case of 4.8.

WEIGHTS = sp.symbols("a1:4", positive=True), sp.symbols("b1:4", positive=True)
LIKELIHOODS = sp.symbols("l1:4", positive=True)
PRIOR, Q = ([weight / sum(weights) for weight in weights] for weights in WEIGHTS)
JOINT = [prior * likelihood for prior, likelihood in zip(PRIOR, LIKELIHOODS, strict=True)]
EVIDENCE = sp.together(sum(JOINT))
POSTERIOR = [joint / EVIDENCE for joint in JOINT]

G_PRIOR, G_LIKELIHOOD, G_Q = density(z, 0, 1), density(x, z, S), density(z, m, s)
G_JOINT = G_PRIOR * G_LIKELIHOOD
G_EVIDENCE = density(x, 0, sqrt(1 + S**2))
G_POSTERIOR = density(z, x / (1 + S**2), S / sqrt(1 + S**2))


def discrete(f, *arguments):
    """E_q f over the three values."""
    return sum(prob * f(*each) for prob, *each in zip(Q, *arguments, strict=True))


def discrete_kl(q, p):
    return sum(a * logs(a / b) for a, b in zip(q, p, strict=True))


def gaussian(f):
    """E_q f(z), q = N(m, s²)."""
    return average(expand_log(f, force=True), z, m, s)


def discrete_elbo():
    return discrete(lambda joint, prob: logs(joint / prob), JOINT, Q)


@cache
def gaussian_elbo():
    return gaussian(logs(G_JOINT) - logs(G_Q))


@cache
def gaussian_gap():
    """KL(q ‖ p(z|x))."""
    return gaussian(logs(G_Q) - logs(G_POSTERIOR))


def test_step_4_1_the_posterior_is_the_joint_over_the_evidence():
    assert zero(sum(POSTERIOR) - 1)
    for joint, posterior in zip(JOINT, POSTERIOR, strict=True):
        assert zero(logs(EVIDENCE) - logs(joint) + logs(posterior))
    assert zero(simplify(sp.integrate(G_JOINT, (z, -oo, oo)) / G_EVIDENCE) - 1)
    assert simplify(average(1, z, x / (1 + S**2), S / sqrt(1 + S**2))) == 1
    assert zero(logs(G_EVIDENCE) - logs(G_JOINT) + logs(G_POSTERIOR))


def test_step_4_2_the_mean_leaves_the_evidence():
    assert zero(discrete(lambda: logs(EVIDENCE)) - logs(EVIDENCE))
    assert zero(discrete(logs, JOINT) - discrete(logs, POSTERIOR) - logs(EVIDENCE))
    assert zero(gaussian(logs(G_EVIDENCE)) - logs(G_EVIDENCE))
    assert zero(gaussian(logs(G_JOINT)) - gaussian(logs(G_POSTERIOR)) - logs(G_EVIDENCE))


def test_step_4_3_the_logarithm_of_q_is_taken_away_and_added():
    gap = discrete(lambda posterior, prob: logs(prob / posterior), POSTERIOR, Q)
    assert zero(discrete_elbo() + gap - logs(EVIDENCE))
    assert zero(gaussian_elbo() + gaussian_gap() - logs(G_EVIDENCE))


def test_step_4_4_the_two_parts_of_the_elbo():
    reconstruction = discrete(logs, LIKELIHOODS)
    assert zero(discrete_elbo() - reconstruction + discrete_kl(Q, PRIOR))
    divergence = UNIVARIATE.subs({m1: m, s1: s, m2: 0, s2: 1})
    assert zero(gaussian_elbo() - gaussian(logs(G_LIKELIHOOD)) + divergence)


def test_step_4_5_the_evidence_is_the_elbo_and_the_divergence_from_the_posterior():
    assert zero(discrete_elbo() + discrete_kl(Q, POSTERIOR) - logs(EVIDENCE))
    to_posterior = {m1: m, s1: s, m2: x / (1 + S**2), s2: S / sqrt(1 + S**2)}
    divergence = UNIVARIATE.subs(to_posterior)
    assert zero(gaussian_elbo() + divergence - logs(G_EVIDENCE))
    one = torch.ones((), dtype=torch.float64)

    def evidence(x, S, m, s):
        """From lowerbound's divergences, with any q."""
        variance = 1 + S**2
        error = ((x - m) ** 2 + s**2) / S**2
        expected = -0.5 * (torch.log(2 * torch.pi * S**2) + error)
        elbo = expected - divergences.univariate_gaussian_kl(m, s, 0 * one, one)
        return elbo + divergences.univariate_gaussian_kl(m, s, x / variance, S / variance.sqrt())

    assert_same_numbers(logs(G_EVIDENCE), (x, S, m, s), evidence)


def test_step_4_6_a_divergence_is_never_negative():
    slack = t - 1 - log(t)
    assert sp.solve(slack.diff(t), t) == [1]
    assert slack.subs(t, 1) == 0
    assert slack.diff(t, 2).is_positive
    assert zero(discrete(lambda other, prob: other / prob - 1, PRIOR, Q))
    assert zero(sp.integrate(p - q, (x, -oo, oo)))
    # Where p is positive and q is not, the mean over q is below 0.
    first_two = [weight / sum(WEIGHTS[1][:2]) for weight in WEIGHTS[1][:2]]
    over_q = sum(q * (p / q - 1) for q, p in zip(first_two, PRIOR[:2], strict=True))
    assert simplify(over_q + PRIOR[2]) == 0

    def categorical_kl(*weights: torch.Tensor) -> torch.Tensor:
        p, q = (torch.distributions.Categorical(torch.stack(w)) for w in (weights[:3], weights[3:]))
        found = divergences.kl(q, p, q.sample((1,)))
        assert found > 0
        return found

    assert_same_numbers(discrete_kl(Q, PRIOR), (*WEIGHTS[0], *WEIGHTS[1]), categorical_kl)


def test_step_4_7_the_elbo_is_a_lower_bound():
    at_posterior = dict(zip(WEIGHTS[1], JOINT, strict=True))
    assert zero(discrete_elbo().subs(at_posterior) - logs(EVIDENCE))
    at_posterior = {m: x / (1 + S**2), s: S / sqrt(1 + S**2)}
    assert zero(gaussian_elbo().subs(at_posterior) - logs(G_EVIDENCE))
    for parameter in (m, s):
        assert zero(gaussian_elbo().diff(parameter).subs(at_posterior))
    gap = sp.lambdify((x, S, m, s), logs(G_EVIDENCE) - gaussian_elbo(), "math")
    for _ in range(20):
        assert gap(*map(random_number, (False, True, False, True))) > 0


def test_step_4_8_the_gaussian_example():
    assert zero(logs(G_JOINT) - logs(G_EVIDENCE * G_POSTERIOR))
    assert zero(simplify(sp.integrate(G_JOINT, (z, -oo, oo)) / G_EVIDENCE) - 1)


# 5. The noise of a Gaussian decoder.  v is σ², E is the squared error of an image.

D, E, K, MSE, V, beta = sp.symbols("D E K MSE V beta", positive=True)
IMAGES, PIXELS = 2, 3
GREYS = sp.symarray("x", (IMAGES, PIXELS))
MODELLED = sp.symarray("y", (IMAGES, PIXELS))
SQUARES = (GREYS - MODELLED) ** 2


def reconstruction(error, variance, size=D):
    """5.1: −log p(x|z) from the squared error of an image."""
    return size / 2 * log(2 * pi * variance) + error / (2 * variance)


R = D / 2 * (log(2 * pi * V) + MSE / V)


def pixels(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, count, 4, dtype=torch.float64).unbind()


def gaussian_likelihood(sigma: float, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return lb.Gaussian(torch.nn.Identity(), shape=(x.shape[1],), sigma=sigma)(y).log_prob(x)


def test_step_5_1_the_reconstruction_term_is_the_squared_error():
    for image, modelled, squares in zip(GREYS, MODELLED, SQUARES, strict=True):
        likelihood = sp.prod(density(g, y, sqrt(V)) for g, y in zip(image, modelled, strict=True))
        assert zero(-logs(likelihood) - reconstruction(squares.sum(), V, PIXELS))
    (x, y), sigma = pixels(5), 0.3
    expected = sp.lambdify(E, reconstruction(E, sigma**2, 4))
    errors = (x - y).square().sum(1)
    found = -gaussian_likelihood(sigma, x, y)
    assert found.tolist() == pytest.approx([float(expected(error.item())) for error in errors])


def test_step_5_2_the_mean_over_images():
    of_each = [reconstruction(squares.sum(), V, PIXELS) for squares in SQUARES]
    mean_square = SQUARES.sum() / (IMAGES * PIXELS)
    assert zero(sum(of_each) / IMAGES - R.subs({D: PIXELS, MSE: mean_square}))


def test_step_5_3_the_optimal_variance_is_the_mean_squared_error():
    derivative = R.diff(V)
    assert zero(derivative - D / (2 * V) * (1 - MSE / V))
    assert sp.solve(derivative, V) == [MSE]
    assert simplify(derivative.subs(V, MSE * (1 + t))).is_positive
    assert simplify(derivative.subs(V, MSE / (1 + t))).is_negative


def test_step_5_4_the_reconstruction_term_at_the_optimum():
    at_optimum = D / 2 * (log(2 * pi * MSE) + 1)
    assert zero(R.subs(V, MSE) - at_optimum)
    x, y = pixels(5)
    optimal = distributions.OptimalNormal(y, torch.ones((), dtype=torch.float64))
    mean_square = (x - y).square().mean().item()
    expected = at_optimum.subs({D: 4, MSE: mean_square}).evalf()
    assert -optimal.log_prob(x).sum(1).mean().item() == pytest.approx(float(expected))


def test_step_5_5_a_factor_comes_out():
    assert zero(E / D + K / D - (E + K) / D)
    squares = SQUARES[0]
    assert zero(squares.mean() + K / PIXELS - (squares.sum() + K) / PIXELS)


def test_step_5_6_the_divided_divergence_is_a_variance_of_a_half():
    negative_elbo = reconstruction(E, HALF) + K
    assert zero(negative_elbo - (D * (E / D + K / D) + D / 2 * log(pi)))
    assert sp.solve(1 / (2 * V) - 1, V) == [HALF]
    x, y = pixels(5)
    constant = float((D / 2 * log(pi)).subs(D, 4))
    expected = 4 * (x - y).square().mean(1) + constant
    torch.testing.assert_close(-gaussian_likelihood(0.5**0.5, x, y), expected)


def test_step_5_7_the_undivided_divergence_is_a_variance_of_half_the_size():
    negative_elbo = reconstruction(E, D / 2) + K
    assert zero(negative_elbo - (E / D + K + D / 2 * log(pi * D)))
    assert sp.solve(1 / (2 * V) - 1 / D, V) == [D / 2]
    assert (D / 2).subs(D, 784) == 392
    x, y = pixels(5)
    constant = float((D / 2 * log(pi * D)).subs(D, 4))
    expected = (x - y).square().mean(1) + constant
    torch.testing.assert_close(-gaussian_likelihood(2**0.5, x, y), expected)


def test_step_5_8_a_weight_is_a_variance():
    loss = E / D + beta * K
    assert zero(loss - beta * (E / (2 * V) + K).subs(V, beta * D / 2))
    assert sp.solve((loss / beta - E / (2 * V) - K).diff(E), V) == [beta * D / 2]
    negative_elbo = reconstruction(E, beta * D / 2) + K
    assert zero((loss / beta - negative_elbo).diff(E))
    assert zero((loss / beta - negative_elbo).diff(K))
    assert [(beta * D / 2).subs(beta, weight) for weight in (1 / D, 1)] == [HALF, D / 2]


# The page.


def test_every_step_of_the_page_has_its_test():
    steps = re.findall(r"^\*\*(\d+\.\d+)\*\*", PAGE.read_text(), re.MULTILINE)
    names = [re.match(r"test_step_(\d+)_(\d+)_", name) for name in globals()]
    assert [f"{name[1]}.{name[2]}" for name in names if name] == steps
    sections = [[int(step.split(".")[1]) for step in group] for _, group in by_section(steps)]
    assert len(sections) == 5
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sections)


def by_section(steps):
    return itertools.groupby(steps, key=lambda step: step.split(".")[0])


def test_every_step_of_the_page_has_one_equation():
    _, *steps = re.split(r"^\*\*\d+\.\d+\*\*", PAGE.read_text(), flags=re.MULTILINE)
    assert steps
    assert all(len(re.findall(r"^\$\$.+?\$\$$", step, re.M | re.S)) == 1 for step in steps)
