"""What the page shows of a run: codes of its test data, how dimensions differ, decoded codes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound import evaluation
from lowerbound.data import Dataset
from lowerbound.data.assembly import in_memory
from lowerbound.divergences import kl_terms
from lowerbound.errors import ConfigurationError, DataError, StorageError
from lowerbound.evaluation.bounds import ACTIVE_VARIANCE
from lowerbound.evaluation.walk import IMAGES_PER_BATCH, Progress
from lowerbound.explorer.forms import Form, form_of
from lowerbound.posteriors import Deterministic
from lowerbound.priors import StandardNormal
from lowerbound.runs import Run
from lowerbound.service.calls import Calls
from lowerbound.vae import VAE

REACH = 3.0


class Space:
    """A run's latent space, and what the page asks of its model.

    Args:
        run: whose model it is.
        data: examples to show the codes of; None where there are none.
        note: why there are none, for whoever looks at the page.
        name: what split of the run's data they are.
        progress: called with the examples encoded and their number.
        form: how examples are shown; by default as ``data`` have it.

    Raises:
        ConfigurationError: the model is given columns.
    """

    def __init__(
        self,
        run: Run,
        data: Dataset | None,
        note: str = "",
        name: str = "",
        progress: Progress = lambda done, total: None,
        form: Form | None = None,
    ) -> None:
        self.run, self.note, self.calls = run, note, Calls(run)
        self.model, self.name = self.calls.model, name
        if self.model.context is not None and not self.model.takes_labels:
            raise ConfigurationError(
                "expected a model of x alone or given class labels, got one given columns, of "
                "which the page has no choice; lowerbound sample --given draws from it"
            )
        self.data = None if data is None else in_memory(self.model.expect(data))
        self.form = form or form_of(run, self.data)
        self.codes, self.kl = torch.empty(0, self.model.latent_dim), None
        if self.data is not None:
            self.codes, self.kl = codes_of(self.model, self.data, progress)
        elif run.evaluation is not None:
            self.kl = run.evaluation.kl_per_dimension

    @classmethod
    def open(cls, run: Run, data: str | None, labels: str | None, progress: Progress) -> Space:
        """That of the run's test data, or of other ``data``; without any where its own are gone."""
        try:
            split = "test" if data is None else ""
            found = run.examples("test", data, labels)
            return cls(run, found, name=split, progress=progress)
        except (DataError, StorageError) as error:
            run.model  # noqa: B018  its own errors come first
            if data is not None:
                raise
            return cls(run, None, f"Without test data: {error}")

    @cached_property
    def classes(self) -> list[str]:
        """The names of all classes, of the model or of the data."""
        names = getattr(self.model.context, "names", None) or getattr(self.data, "classes", None)
        if names is None and len(self.labels):
            names = map(str, range(int(self.labels.max()) + 1))
        return list(names or ())

    @property
    def labels(self) -> np.ndarray:
        """The class of each example, int32; none where the data have no classes."""
        if self.data is None or self.data.labels is None:
            return np.empty(0, np.int32)
        return self.data.labels.numpy().astype(np.int32)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the page needs to know before anything else."""
        model, codes, latent = self.model, self.codes, self.model.latent_dim
        is_normal = isinstance(model.prior, StandardNormal) and not isinstance(
            model.posterior, Deterministic
        )
        variance = codes.var(0).tolist() if len(codes) > 1 else [1.0] * latent
        score = self.kl or variance
        low, high = torch.full((latent,), -REACH), torch.full((latent,), REACH)
        if len(codes):
            least, most = codes.amin(0), codes.amax(0)
            low = torch.minimum(low, least) if is_normal else least
            high = torch.maximum(high, most) if is_normal else most
        told = " ".join(filter(None, (f"{len(codes):,}", self.name, self.form.nouns)))
        examples = told if len(codes) else "no test data"
        return {
            "title": self.run.title,
            "lead": f"{latent} latent dimensions, {examples}",
            "note": self.note,
            "latent": latent,
            "names": [f"z[{i}]" for i in range(latent)],
            "order": sorted(range(latent), key=lambda i: -score[i]),
            "kl": self.kl,
            "active": [value > ACTIVE_VARIANCE for value in variance],
            "low": low.tolist(),
            "high": high.tolist(),
            "normal": is_normal,
            "axes": principal_axes(codes),
            "classes": self.classes,
            "conditional": model.context is not None,
            "nouns": self.form.nouns,
            "score": self.score_name if len(codes) else "",
            **self.form.about,
        }

    @property
    def score_name(self) -> str:
        """What `scores` are."""
        return "log p(x|z)" if isinstance(self.model.posterior, Deterministic) else "ELBO"

    @cached_property
    def scores(self) -> np.ndarray:
        """The ELBO of each example, nats, or log p(x|z) where there is none, float32."""
        with self.calls.turn():  # as it draws noise
            found = evaluation.example_scores(self.model, self.data, samples=1)
        return found.get("elbo", -found["reconstruction"]).float().nan_to_num(-3e38).numpy()

    def example(self, number: int) -> bytes:
        """An example, as its form is sent."""
        if self.data is None or not 0 <= number < len(self.data):
            raise ConfigurationError(
                f"expected the number of an example below {len(self.codes):,}, got {number}"
            )
        return self.form.of_values(self.data.x[number : number + 1])

    @torch.no_grad()
    def decode(self, z: np.ndarray, label: int) -> bytes:
        """The decoder's mean at a code (latent,), as its form is sent; ``label`` is its class."""
        return self.form.of_code(self.model, self.checked(z)[None], self.context(label))

    def context(self, label: int) -> Tensor | None:
        """The class of one example, (1,), for a conditional model."""
        if self.model.context is None:
            return None
        if not 0 <= label < len(self.classes):
            raise ConfigurationError(
                f"expected a class from 0 to {len(self.classes) - 1}, got {label}"
            )
        return torch.tensor([label])

    def checked(self, z: np.ndarray) -> Tensor:
        """A code as a tensor; what is none is refused."""
        if z.shape != (self.model.latent_dim,) or not np.isfinite(z).all():
            raise ConfigurationError(
                f"expected {self.model.latent_dim} finite numbers, got {z.size}"
            )
        return torch.from_numpy(z.astype(np.float32))


@torch.no_grad()
def codes_of(model: VAE, data: Dataset, progress: Progress) -> tuple[Tensor, list[float] | None]:
    """Posterior means of all the ``data``, (n, latent), and the mean KL of each dimension, nats.

    The latter is None where posterior or prior does not factorise.
    """
    device = next(model.parameters()).device
    means, kl = [], []
    for x, labels in data.batches(IMAGES_PER_BATCH, device=device):
        q = model.encode(x, labels)
        means.append(q.mean.cpu().float())
        kl.append(kl_terms(q, model.prior(model.features(labels, len(x)))))
        progress(sum(map(len, means)), len(data))
    terms = [each for each in kl if each is not None]
    mean = torch.cat(terms).double().mean(0).tolist() if len(terms) == len(kl) else None
    return torch.cat(means), mean


def principal_axes(codes: Tensor) -> list[dict[str, Any]]:
    """The two directions in which codes (n, latent) vary most, with names; none of a plane."""
    if len(codes) < 3 or codes.shape[1] < 3:
        return []
    _, directions = torch.linalg.eigh(codes.double().T.cov())
    found = []
    for place, direction in zip(("1st", "2nd"), directions.T.flip(0)[:2], strict=True):
        sign = direction[direction.abs().argmax()].sign()
        found.append({"name": f"{place} principal axis", "direction": (sign * direction).tolist()})
    return found
