"""Draws of weights from their posterior, by stochastic-gradient Hamiltonian Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import pydantic
import torch
from torch import Tensor, nn

from lowerbound import streams
from lowerbound.parts import Positive, Size, part
from lowerbound.streams import Stream

LEAST_VARIANCE = 1e-16


@part
@dataclass(frozen=True)
class SGHMC:
    """Scale-adapted stochastic-gradient Hamiltonian Monte Carlo: draws θ of the weights, ∝ e^(−U).

    U(θ) = −N · mean objective − log p(θ), of N training examples, with θ ~ N(0, I/λ) for each
    tensor of weights and λ ~ Gamma(1, 1), which is drawn from p(λ|θ) at the start of each epoch.
    The weights that are not sampled are trained by the optimiser, as ever.

    Args:
        of: the weights that are sampled: the ``"likelihood"``'s, while the encoder is trained; or
            the posterior's too (``"both"``), so that each draw of the decoder has its encoder.
        burn_in: epochs before the first draw, in which the sampler adapts to the scale of each
            weight's gradient.
        thinning: epochs from each draw to the next; a run of T epochs keeps
            (T − burn_in)/thinning draws.
        step_size: ε, above 0.
        friction: α, above 0 and below 1.

    Sources: Springenberg, Klein, Falkner & Hutter, Bayesian optimization with robust Bayesian
    neural networks, 2016; Chen, Fox & Guestrin 2014, arXiv 1402.4102; in a VAE: Daxberger &
    Hernández-Lobato, Bayesian variational autoencoders for unsupervised out-of-distribution
    detection, 2019, arXiv 1912.05651.
    """

    of: Literal["likelihood", "both"] = "likelihood"
    burn_in: Size = 10
    thinning: Size = 1
    step_size: Positive = 1e-2
    friction: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.05

    def draws(self, epochs: int) -> int:
        """How many are kept after so many ``epochs``."""
        return max(0, epochs - self.burn_in) // self.thinning


class Chain:
    """The place and the momentum of each weight.

    Args:
        sampler: its settings.
        parameters: what is sampled; their gradients are those of −(mean objective).
        examples: N.
        steps: in an epoch.
        seed: of all noise, which is the same in all processes.
    """

    def __init__(
        self,
        sampler: SGHMC,
        parameters: Iterable[nn.Parameter],
        *,
        examples: int,
        steps: int,
        seed: int,
    ) -> None:
        self.sampler, self.examples, self.steps, self.seed = sampler, examples, steps, seed
        self.parameters = [p for p in parameters if p.requires_grad]
        ones = [torch.ones_like(p) for p in self.parameters]
        self.tau, self.g, self.V = ones, [x.clone() for x in ones], [x.clone() for x in ones]
        self.v = [torch.zeros_like(p) for p in self.parameters]
        self.noise: list[tuple[Tensor, Tensor]] = []
        self.precisions = torch.ones(len(ones), dtype=torch.float64, device=ones[0].device)

    @torch.no_grad()
    def step(self, step: int) -> None:
        """One update of all weights, the ``step``-th from 0, by their gradients, which are used up.

        What has no gradient is drawn from its prior.
        """
        epoch, within = divmod(step, self.steps)
        adapts = epoch < self.sampler.burn_in
        streams.seed_noise(self.precisions.device, self.seed, Stream.WEIGHTS, step)
        if within == 0:
            for i, theta in enumerate(self.parameters):
                self.precisions[i] = drawn_precision(theta)
        gradients = [
            self._gradient(*pair)
            for pair in zip(self.parameters, self.precisions.tolist(), strict=True)
        ]
        if adapts:
            for moments in zip(gradients, self.tau, self.g, self.V, strict=True):
                adapt(*moments)
        if adapts or not self.noise:
            self.noise = [noise(V, self.sampler.step_size, self.sampler.friction) for V in self.V]
        for theta, gradient, v, (scale, deviation) in zip(
            self.parameters, gradients, self.v, self.noise, strict=True
        ):
            move(theta, gradient, v, scale, deviation, self.sampler.friction)

    def _gradient(self, theta: nn.Parameter, precision: float) -> Tensor:
        """∇U = −N ∇ mean objective − ∇ log p(θ), of θ ~ N(0, I/λ)."""
        gradient, theta.grad = theta.grad, None
        if gradient is None:
            return theta * precision
        return gradient.mul_(self.examples).add_(theta, alpha=precision)

    def too_hot(self) -> float:
        """The share of weights whose mini-batch noise alone is more than the posterior's."""
        epsilon, alpha = self.sampler.step_size, self.sampler.friction
        hot = [(epsilon**2 * V.sqrt() > 2 * alpha).sum().item() for V in self.V]
        return sum(hot) / sum(V.numel() for V in self.V)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on but the weights, by name."""
        groups = {"tau": self.tau, "g": self.g, "V": self.V, "v": self.v}
        named = {f"{k}/{i}": x for k, members in groups.items() for i, x in enumerate(members)}
        return {"precisions": self.precisions, **named}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        self.noise = []
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


def adapt(gradient: Tensor, tau: Tensor, g: Tensor, V: Tensor) -> None:
    """Running averages g of the gradient and V of its square, over τ steps, in place.

    τ ← 1 + τ (1 − g²/V),  g ← g + (∇U − g)/(τ + 1),  V ← V + (∇U² − V)/(τ + 1), with τ + 1 of the
    step before.
    """
    rate = 1 / (tau + 1)
    tau.mul_(1 - g.square() / V).add_(1)
    g.add_(rate * (gradient - g))
    V.add_(rate * (gradient.square() - V))


def noise(V: Tensor, epsilon: float, alpha: float) -> tuple[Tensor, Tensor]:
    """ε² V^(−½), and the deviation of the noise whose variance is 2 α ε² V^(−½) − ε⁴.

    ε⁴ is the variance that the noise of a mini-batch's ∇U, about V, brings by itself.
    """
    scale = epsilon**2 * V.rsqrt()
    return scale, (2 * alpha * scale - epsilon**4).clamp_(min=LEAST_VARIANCE).sqrt_()


def move(
    theta: Tensor, gradient: Tensor, v: Tensor, scale: Tensor, deviation: Tensor, alpha: float
) -> None:
    """v ← (1 − α) v − ε² V^(−½) ∇U + noise,  θ ← θ + v, in place."""
    v.mul_(1 - alpha).addcmul_(scale, gradient, value=-1)
    v.addcmul_(deviation, torch.randn_like(v))
    theta.add_(v)


def drawn_precision(theta: Tensor) -> Tensor:
    """λ ~ p(λ|θ) = Gamma(1 + n/2, 1 + Σ θ²/2), of θ ~ N(0, I/λ) and λ ~ Gamma(1, 1)."""
    shape = theta.new_tensor(1 + theta.numel() / 2, dtype=torch.float64)
    return torch._standard_gamma(shape) / (1 + theta.double().square().sum() / 2)
