"""Which weights of a model are sampled, and the draws of them that a run keeps."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound import streams
from lowerbound.data import Batch, Data
from lowerbound.distributions import has_density
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation import convergence, weight_log_likelihoods
from lowerbound.evaluation.chains import LEAST_DRAWS
from lowerbound.streams import Stream
from lowerbound.training.callbacks import Callback
from lowerbound.training.settings import Training
from lowerbound.training.sghmc import SGHMC, Chain
from lowerbound.vae import VAE
from lowerbound.weight_draws import WeightDraws

PROBED, JUDGED = 8, 500  # examples


class Sampling:
    """Draws of a model's weights, an epoch after the other.

    Args:
        model: whose ``likelihood``, and perhaps ``posterior``, is sampled.
        sampler: its settings.
        batch: some training data, by which it is seen whether that can be.
        examples: of the training data.
        steps: in an epoch.
        seed: of all noise.

    Raises:
        ConfigurationError: p(x|z), or q(z|x), is no function of the sampled weights and the example
            alone.
    """

    def __init__(
        self, model: VAE, sampler: SGHMC, batch: Batch, *, examples: int, steps: int, seed: int
    ) -> None:
        names = ("likelihood",) if sampler.of == "likelihood" else ("likelihood", "posterior")
        self.parts = {name: getattr(model, name) for name in names}
        self.parameters = {p for part in self.parts.values() for p in part.parameters()}
        self._refuse_unfit(model, sampler)
        self._refuse_others_in_training(model, batch)
        self.sampler, self.epochs = sampler, 0
        named = [p for p in model.parameters() if p in self.parameters]
        self.chain = Chain(sampler, named, examples=examples, steps=steps, seed=seed)
        self.kept: list[dict[str, Tensor]] = []

    @classmethod
    def of(cls, model: VAE, training: Training, data: Data, steps: int) -> Sampling | None:
        """That of a run whose epochs have so many ``steps``; None where all weights are trained.

        Raises:
            ConfigurationError: as above, or the model has weight draws already.
        """
        if isinstance(model.likelihood, WeightDraws):
            raise ConfigurationError(
                f"expected a model of one set of weights to train, got one of "
                f"{model.likelihood.draws} draws of them; train the one that they were drawn from"
            )
        if training.sampler is None:
            return None
        batch = next(data.batches(PROBED, seed=training.seed))
        sizes = {"examples": len(data), "steps": steps, "seed": training.seed}
        return cls(model, training.sampler, batch, **sizes)

    def close_epoch(self, epoch: int) -> int:
        """Keep the weights as they are after ``epoch`` epochs, if it is time; how many are kept."""
        if self.sampler.draws(epoch) > len(self.kept):
            self.kept.append({name: t.detach().clone() for name, t in self._weights().items()})
        return len(self.kept)

    def state(self) -> dict[str, Tensor]:
        """The draws so far, stacked, by name."""
        if not self.kept:
            return {}
        return {name: torch.stack([draw[name] for draw in self.kept]) for name in self.kept[0]}

    def expected(self, epochs: int) -> dict[str, Tensor]:
        """Tensors as `state` gives after so many ``epochs``, without numbers in them."""
        draws = self.sampler.draws(epochs)
        weights = self._weights().items() if draws else ()
        return {name: t.new_empty((draws, *t.shape), device="meta") for name, t in weights}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        here = self.chain.precisions.device
        draws = len(next(iter(state.values()))) if state else 0
        self.kept = [{name: t[i].to(here) for name, t in state.items()} for i in range(draws)]

    def settle(self, model: nn.Module) -> None:
        """Put all draws in the place of the parts that were sampled."""
        for name, part in self.parts.items():
            prefix = f"{name}."
            states = [
                {k.removeprefix(prefix): t for k, t in draw.items() if k.startswith(prefix)}
                for draw in self.kept
            ]
            drawn = WeightDraws.of(part, states)
            setattr(model, name, drawn)
            vars(model)["_arguments"][name] = drawn

    def told(self, model: VAE, data: Data, callbacks: Sequence[Callback]) -> dict[str, Any]:
        """How well the draws of the settled model are mixed, by some of ``data``: for its file.

        ``callbacks`` are told it in words.
        """
        lines, found = [], {}
        if len(self.kept) >= LEAST_DRAWS:
            some = data.take(min(len(data), JUDGED))
            chain = weight_log_likelihoods(model, some, seed=self.chain.seed)
            if chain.isfinite().all(0).any():
                mixing = convergence(chain)
                lines, found = [str(mixing)], {"weight_draws": mixing.as_dict()}
        if (share := self.chain.too_hot()) > 0:
            lines.append(
                f"the gradient's noise alone moves {share:.1%} of the weights more than their "
                "posterior has them move; take a lower sampler.step_size, or a larger batch_size"
            )
        for callback, line in itertools.product(callbacks, lines):
            callback.note(line)
        return found

    def _weights(self) -> dict[str, Tensor]:
        return {
            f"{name}.{key}": tensor
            for name, part in self.parts.items()
            for key, tensor in part.state_dict().items()
        }

    def _refuse_unfit(self, model: VAE, sampler: SGHMC) -> None:
        others = {
            p
            for name, part in model.named_children()
            if name not in self.parts
            for p in part.parameters()
        }
        if shared := others & self.parameters:
            both = sampler.of == "likelihood" and shared <= {*model.posterior.parameters()}
            raise ConfigurationError(
                f"expected weights that are either sampled or trained, got {len(shared)} of the "
                f"{' or the '.join(self.parts)} that another part has too; give each its own"
                + (", or set sampler.of=both" if both else "")
            )
        for name, part in self.parts.items():
            if not any(p.requires_grad for p in part.parameters()):
                raise ConfigurationError(f"expected a {name} with weights to sample, got none")
        if "posterior" in self.parts and hasattr(model.prior, "bind"):
            raise ConfigurationError(
                f"expected a prior of its own for sampler.of=both, got {type(model.prior).__name__}"
                ", which is made of the posterior; set sampler.of=likelihood, or another prior"
            )

    @torch.no_grad()
    def _refuse_others_in_training(self, model: VAE, batch: Batch) -> None:
        """Refuse parts that are another function in training mode: batch statistics, dropout.

        And a posterior without a density, of which no log p(x|θ) is known.
        """
        twin = copy.deepcopy(model)
        with streams.seeded(batch.x.device, 0, Stream.TRIAL):
            x, context = twin.prepare(*batch)
            z = torch.randn(len(x), twin.latent_dim).to(x)
            if not has_density(twin.posterior(x, context)):
                raise ConfigurationError(
                    "expected a posterior with a density for a sampler, as log p(x|θ) follows from "
                    "it, got a deterministic one; use DiagonalGaussian"
                )
            found: dict[str, list[Tensor]] = {name: [] for name in self.parts}
            for training in (False, True):
                twin.train(training)
                for name in self.parts:
                    value = (
                        twin.likelihood(z, context).log_prob(x)
                        if name == "likelihood"
                        else twin.posterior(x, context).mean
                    )
                    found[name].append(value)
        for name, (value, in_training) in found.items():
            if not torch.allclose(value, in_training, rtol=1e-4, atol=1e-5, equal_nan=True):
                raise ConfigurationError(
                    f"expected a {name} that is the same in training mode, for a posterior over "
                    "its weights, got one that also depends on the other rows of a batch, or on "
                    "noise, as with BatchNorm, dropout or sigma=optimal; do without these"
                )
