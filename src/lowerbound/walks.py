"""Ways through the latent space: from one code to another, and around one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.errors import check_count
from lowerbound.streams import Stream, seeded
from lowerbound.vae import VAE

STRAIGHT = 1e-4
"""Radians below which an arc is its chord."""


def slerp(
    first: Float[Tensor, " latent"], last: Float[Tensor, " latent"], steps: int
) -> Float[Tensor, "steps latent"]:
    """Codes from ``first`` to ``last``, both among them, evenly along the arc between them.

    sin((1−t)ω)/sin ω · first + sin(tω)/sin ω · last, ω the angle between the two, for t from 0 to
    1; where they point the same way or opposite ways, or one is 0, the straight line.

    Args:
        first: where it begins.
        last: where it ends.
        steps: how many codes there are, 2 or more.

    Raises:
        ConfigurationError: fewer than 2 steps.

    Source: Shoemake, Animating rotation with quaternion curves, 1985; for latent spaces White,
    Sampling generative networks, 2016, arXiv 1609.04468.
    """
    t = torch.linspace(0, 1, check_count("steps", steps, least=2), dtype=torch.float64)[:, None]
    a, b = first.detach().cpu().double(), last.detach().cpu().double()
    lengths = a.norm() * b.norm()
    angle = torch.acos((torch.dot(a, b) / lengths).clamp(-1, 1)) if lengths else torch.zeros(())
    if min(angle, torch.pi - angle) < STRAIGHT:
        path = (1 - t) * a + t * b
    else:
        path = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    return path.to(first)


@torch.no_grad()
def near(
    model: VAE,
    code: Float[Tensor, " latent"],
    n: int,
    spread: float,
    label: Tensor | None = None,
    *,
    mean: bool = False,
    seed: int = 0,
) -> Tensor:
    """n draws x ~ p(x|z), z ~ N(code, spread² I), or the decoder's means there: (n, *shape).

    Args:
        model: a trained model.
        code: what they are around.
        n: how many.
        spread: the standard deviation in each dimension.
        label: (1,), the class of all, or (1, C), their covariates, for a conditional model.
        mean: the decoder's mean at z, not a draw.
        seed: of z and x.
    """
    labels = None if label is None else label.expand(n, *label.shape[1:])
    with seeded(code.device, seed, Stream.NEAR):
        z = code + spread * torch.randn(n, len(code)).to(code)
        if mean:
            return model.decode(z, labels)
        return model.transform.inverse(model.likelihood_at(z, labels).sample())
