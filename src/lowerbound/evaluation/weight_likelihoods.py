"""log p(x|θₘ) under every draw of a model's weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.errors import check_count
from lowerbound.evaluation.walk import ELEMENTS_PER_CHUNK, Progress, batch_size, held_out, per_batch
from lowerbound.likelihoods.support import decoded_elements
from lowerbound.streams import Stream, seeded
from lowerbound.vae import VAE
from lowerbound.weight_draws import WeightDraws, weight_draws


def weight_log_likelihoods(
    model: VAE, data: Any, *, samples: int = 10, seed: int = 0, progress: Progress | None = None
) -> Float[Tensor, "draws n"]:
    """log p(x|θₘ) ≈ log (1/k) Σ p(x|z, θₘ) p(z)/q(z|x), z ~ q(z|x), for each weight draw θₘ.

    Nats, (M, n), in float64, on the CPU.  All draws are evaluated at the same z; with draws of the
    posterior's weights too, at z ~ q(z|x, φₘ) from the same noise.  What an example is given
    depends on its place and the seed, not on the other examples.

    Args:
        model: with weight draws, as `fit` with a sampler makes it.
        data: the examples, whatever `data.as_dataset` takes; of `Splits` the test set.
        samples: k, the draws z for each example, at least 1.
        seed: of all noise.
        progress: called with the examples done and their number.

    Raises:
        ConfigurationError: the model has no weight draws, or a deterministic posterior.
    """
    weight_draws(model)
    samples, size = check_count("samples", samples), batch_size(model)

    def measure(judged: VAE, x: Tensor, context: Tensor | None) -> Mapping[str, Tensor]:
        # A batch that is not full is filled up, so that all examples get the noise of a full one.
        rows = torch.arange(size, device=x.device).clamp(max=len(x) - 1)
        full, features = x[rows], None if context is None else context[rows]
        log_sum, left = x.new_tensor(-math.inf, dtype=torch.float64), samples
        while left:
            k = min(left, _codes_at_once(judged, size))
            z, log_ratio = _codes(judged, full, features, k, rows=len(x))
            decoded = max(1, ELEMENTS_PER_CHUNK // (len(x) * decoded_elements(judged.likelihood)))
            for some in range(0, k, decoded):
                here = z[..., some : some + decoded, :, :], log_ratio[..., some : some + decoded, :]
                log_w = _log_likelihoods(judged, x, context, here[0]).double() - here[1]
                log_sum = log_sum.logaddexp(log_w.logsumexp(-2))
            left -= k
        return {"log_likelihood": (log_sum - math.log(samples)).T}

    found = per_batch(
        *(model, held_out(data, least=1), measure),
        seed=seed,
        stream=Stream.EVALUATE,
        progress=progress,
    )
    return found["log_likelihood"].T.contiguous()


def _codes_at_once(model: VAE, rows: int) -> int:
    """How many codes for each of the rows are drawn at once."""
    paired = model.posterior.draws if isinstance(model.posterior, WeightDraws) else 1
    return max(1, ELEMENTS_PER_CHUNK // (rows * model.latent_dim * paired))


def _codes(
    model: VAE, x: Tensor, context: Tensor | None, k: int, *, rows: int
) -> tuple[Tensor, Tensor]:
    """z ~ q(z|x) of the first ``rows``, and log q(z|x) − log p(z).

    (k, rows, latent) and (k, rows); with M draws of the posterior's weights, (M, …).
    """
    prior, seed = model.prior(context), int(torch.randint(2**62, ()))

    def drawn(posterior: nn.Module) -> Tensor:
        q = posterior(x, context)
        with seeded(x.device, seed, Stream.CODES):
            z = q.sample((k,))
        log_ratio = q.log_prob(z) - prior.log_prob(z)
        return torch.cat((z, log_ratio.unsqueeze(-1)), -1)[:, :rows]

    if isinstance(model.posterior, WeightDraws):
        found = torch.cat(list(model.posterior.each(drawn, k * len(x) * model.latent_dim)))
    else:
        found = drawn(model.posterior)
    return found[..., :-1], found[..., -1].double()


def _log_likelihoods(model: VAE, x: Tensor, context: Tensor | None, z: Tensor) -> Tensor:
    """log p(x|z, θₘ), (M, k, batch), of z as `_codes` has them."""
    likelihood: Any = model.likelihood
    numbers = z.shape[-3] * len(x) * decoded_elements(likelihood)

    def log_prob(module: nn.Module, z: Tensor) -> Tensor:
        return module(z, context).log_prob(x)

    if z.ndim == 4:
        each = likelihood.each(log_prob, numbers, (z,))
    else:
        each = likelihood.each(lambda module: log_prob(module, z), numbers)
    return torch.cat(list(each))
