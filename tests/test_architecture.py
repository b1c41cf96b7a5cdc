"""Imports point down, the public names are pinned, and `import lowerbound` is light."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lowerbound as lb

SOURCE = Path(lb.__file__).parent
# From the bottom up: a module may import from lines above its own, and from its own package.
LAYERS = [
    ["errors", "memory", "threads"],
    ["devices", "extras", "files", "parts", "pages"],
    [
        "data",
        "plots",
        "transforms",
        "context",
        "corruptions",
        "schedules",
        "divergences",
        "networks",
    ],
    ["distributions"],
    ["priors", "posteriors", "likelihoods"],
    ["vae"],
    ["objectives"],
    ["storage", "evaluation", "compression"],
    ["training"],
    ["recipes"],
    ["runs", "diagnosis"],
    ["report"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: i for i, names in enumerate(LAYERS) for name in names}
PUBLIC = {
    "Bernoulli", "BernoulliDraw", "BetaBinomial", "Binarise", "Binary", "BottomUpPosterior",
    "Categorical", "ConditionalGaussian", "ContinuousBernoulli", "Convolutional", "Counts",
    "Cyclical", "Deconvolutional", "Dequantise", "Deterministic", "DiagonalGaussian",
    "DiscretisedLogistic", "ELBO", "Evaluation", "Finding", "FlowPosterior", "FlowPrior",
    "FullGaussian", "Gaussian", "GaussianMixture", "GaussianNoise", "Heterogeneous",
    "HierarchicalPrior", "IWAE",
    "Identity", "InfoVAE", "Labels", "Linear", "LogCounts", "LogisticMixture", "MLP", "Masking",
    "NegativeBinomial", "Nominal", "Poisson", "Reconstruction", "Renyi", "Scale", "StandardNormal",
    "Standardise", "StudentT", "TCVAE", "TopDownPosterior", "Training", "VAE", "VampPrior",
    "ZeroInflatedNegativeBinomial",
    "__version__", "compression", "data", "diagnose", "diagnose_draws", "diagnose_kl",
    "diagnose_loss", "divergences", "errors", "evaluate", "evaluation", "fit", "load", "networks",
    "part", "plots", "recipes", "save", "transforms",
}  # fmt: skip


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        top = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if top != "__init__":
            found.append((top, path))
    return found


def imported(path: Path) -> set[str]:
    """The modules of lowerbound that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith("lowerbound")
        ):
            below = node.module.split(".")[1:]
            names |= {below[0]} if below else {alias.name for alias in node.names}
    return names & set(LEVEL)


def test_every_module_has_its_layer():
    assert {top for top, _ in modules()} == set(LEVEL)


@pytest.mark.parametrize(("top", "path"), modules(), ids=lambda value: str(value)[-30:])
def test_imports_point_down(top, path):
    for name in imported(path) - {top}:
        assert LEVEL[name] < LEVEL[top], f"{path.name} imports {name}"


def test_the_public_names_are_pinned():
    assert set(lb.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(lb, name) is not None
    assert set(dir(lb)) >= PUBLIC
    with pytest.raises(AttributeError):
        lb.nothing  # noqa: B018


def test_importing_lowerbound_imports_no_torch():
    code = "import lowerbound, sys; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_classes_and_functions_are_documented():
    for name in PUBLIC - {"__version__"}:
        value = getattr(lb, name)
        assert inspect.getdoc(value), name
        if inspect.isclass(value):
            for method, member in vars(value).items():
                if inspect.isfunction(member) and not method.startswith("_"):
                    inherited = method in ("forward", "as_dict") or inspect.getdoc(member)
                    assert inherited, f"{name}.{method}"


def test_modules_stay_small():
    long = {
        str(path.relative_to(SOURCE)): lines
        for _, path in modules()
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long
