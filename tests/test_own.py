"""A user's own parts are set by name like the library's, train, and come back from a file."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import lowerbound as lb
import own
from lowerbound import recipes
from lowerbound.data import Dataset
from lowerbound.errors import ConfigurationError
from lowerbound.parts import REGISTRY
from lowerbound.schedules import Linear

COUNTS = Dataset(torch.poisson(torch.full((40, 4), 3.0)))


def test_own_parts_are_chosen_by_name_with_settings_of_their_own(tmp_path):
    settings = recipes.parse(
        [
            *("prior=SparsePrior", "likelihood=Geometric", "network=Residual", "width=5"),
            *("network.depth=1", "latent_dim=3", "epochs=1", "objective=Jackknife"),
        ]
    )
    recipes.check("mlp", settings)
    experiment = recipes.prepare("mlp", COUNTS, settings)
    model = experiment.model
    assert isinstance(model.prior, own.SparsePrior)
    assert isinstance(model.likelihood, own.Geometric)
    assert isinstance(model.likelihood.network, own.Residual)
    assert (len(model.posterior.network.network.blocks), model.latent_dim) == (1, 3)
    assert model.is_density
    lb.fit(
        model, COUNTS, None, experiment.objective, experiment.training, out=tmp_path, callbacks=[]
    )
    again = lb.load(tmp_path)
    torch.testing.assert_close(again.embed(COUNTS.x), model.embed(COUNTS.x))
    found = lb.evaluate(again, COUNTS, samples=4)
    assert found.bits_per_dimension is not None
    assert sum(found.kl_per_dimension) == pytest.approx(found.kl.value, rel=1e-6)


def test_the_parts_in_contributing_train_and_are_judged(tmp_path, monkeypatch):
    """The page's code as it stands, but for the two classes that tests/own has too."""
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    for name in ("SparsePrior", "Geometric"):
        code = code.replace(f"class {name}(", f"class Their{name}(")
    (tmp_path / "theirs.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(REGISTRY)
    try:
        importlib.import_module("theirs")
        chosen = {"prior": "TheirSparsePrior", "posterior": "LaplacePosterior", "network": "Sines"}
        chosen |= {"likelihood": "TheirGeometric", "objective": "Plain", "latent_dim": 2}
        experiment = recipes.mlp(COUNTS, epochs=1, **chosen)
        training = (experiment.objective, experiment.training)
        lb.fit(experiment.model, COUNTS, None, *training, callbacks=[])
        found = lb.evaluate(experiment.model, COUNTS, samples=4)
        assert found.importance_weighted.value >= found.elbo.value
    finally:
        for name in set(REGISTRY) - before:
            del REGISTRY[name]


def test_a_dataclass_takes_the_fields_of_a_part_of_another_module():
    @lb.part
    @dataclass(frozen=True)
    class Halved(lb.ELBO):
        """An ELBO with a setting more; ELBO's own are annotated with names of its module."""

        share: float = 0.5

    @lb.part
    class Same(Halved):
        """As it is."""

    try:
        settings = {"objective": "Halved", "objective.share": 0.25, "objective.beta": "Linear"}
        settings |= {"objective.beta.duration": 3, "objective.samples": 2}
        found = recipes.prepare("mlp", COUNTS, settings).objective
        assert (found.share, found.samples, found.beta) == (0.25, 2, Linear(duration=3))
        assert Same(samples=3).samples == 3
        with pytest.raises(ConfigurationError, match="expected samples to be a whole number"):
            Same(samples=0)
    finally:
        del REGISTRY["Halved"], REGISTRY["Same"]


def test_wrong_settings_of_own_parts_are_refused():
    with pytest.raises(
        ConfigurationError, match="expected width to be a whole number, got 'broad'"
    ):
        recipes.check("mlp", {"network": "Residual", "width": "broad"})
    with pytest.raises(ConfigurationError, match=r"prior: expected one of .*SparsePrior"):
        recipes.check("mlp", {"prior": "Residual"})
