"""Imports point down without circles, the public names are pinned, `import lowerbound` is light."""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import lowerbound as lb
from lowerbound import streams

SOURCE = Path(lb.__file__).parent
# From the bottom up: a module may import from lines above its own, and from its own package.
LAYERS = [
    ["errors", "environment", "docstrings", "hints", "lazy", "logs", "notebooks"],
    ["lowerbound", "extras"],
    [
        "allocations",
        *("compiler", "devices", "files", "hub", "parts", "pages", "ports", "processors"),
        "streams",
    ],
    ["music"],
    [
        "data",
        "plots",
        "transforms",
        "corruptions",
        "schedules",
        "divergences",
        "networks",
    ],
    ["distributions"],
    ["context"],
    ["covariates", "priors", "posteriors", "likelihoods", "weight_draws"],
    ["vae"],
    ["objectives", "walks"],
    ["storage", "evaluation", "compression", "reproduction"],
    ["training", "outliers"],
    ["recipes"],
    ["runs", "diagnosis", "sklearn"],
    ["report", "service"],
    ["export"],
    ["explorer"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: i for i, names in enumerate(LAYERS) for name in names}
PUBLIC = {
    "Autoregressive", "Bernoulli", "BernoulliDraw", "BetaBinomial", "BidirectionalLSTM",
    "Binarise", "Binary", "BottomUpPosterior", "Categorical", "ConditionalGaussian",
    "Conductor", "ContinuousBernoulli", "Convolutional", "Counts", "Covariates", "Cyclical",
    "Deconvolutional", "Dequantise", "Deterministic", "DiagonalGaussian", "DiscretisedLogistic",
    "ELBO", "EmbeddedMLP", "Evaluation", "Exponential", "Finding", "FlowPosterior", "FlowPrior",
    "FullGaussian", "Gaussian", "GaussianMixture", "GaussianNoise", "Heterogeneous",
    "HierarchicalPrior", "IWAE", "Identity", "InfoVAE", "Labels", "Linear", "LogCounts",
    "LogisticMixture", "MLP", "Masking", "NegativeBinomial", "Nominal", "NormalMixture", "Ordinal",
    "Poisson",
    "Reconstruction", "Renyi", "SGHMC", "Scale", "SharedMLP", "StandardNormal", "Standardise",
    "StudentT", "TCVAE", "TopDownPosterior", "Training", "Trimmed", "VAE", "VampPrior",
    "WeightDraws", "ZeroInflated", "ZeroInflatedNegativeBinomial", "__version__", "compression",
    "data", "diagnose", "diagnose_draws", "diagnose_kl", "diagnose_loss", "distributions",
    "divergences",
    "errors", "evaluate", "evaluation", "export", "fit", "load", "music", "networks", "outliers",
    "part", "plots", "recipes", "reproduction", "save", "sklearn", "transforms", "walks",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One module of lowerbound imports another, in a line of its file."""

    importer: str
    imported: str
    line: int
    for_types: bool  # it stands below ``if TYPE_CHECKING:``

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


def sources() -> dict[str, str]:
    """The text of every file of lowerbound, by its path."""
    return {
        path.relative_to(SOURCE.parent).as_posix(): path.read_text()
        for path in sorted(SOURCE.rglob("*.py"))
    }


def imports(files: dict[str, str]) -> list[Import]:
    """What these files import of each other: in any form, inside functions too."""
    modules = {path: path.removesuffix(".py").replace("/", ".") for path in files}
    known = {name.removesuffix(".__init__") for name in modules.values()}
    public = {f"lowerbound.{name}": f"{home}.{name}" for name, home in lb._HOMES.items()}

    def home(name: str) -> str | None:
        """The module that a dotted name stands for, or stands in; of a public name, its own."""
        name = public.get(name, name)
        return next((module for module in upwards(name) if module in known), None)

    found = []
    for path, module in modules.items():
        tree = ast.parse(files[path])
        types = {node for block in ast.walk(tree) if for_types(block) for node in ast.walk(block)}
        found += [
            Import(module.removesuffix(".__init__"), target, node.lineno, node in types)
            for node in ast.walk(tree)
            for name in named(node, module)
            if (target := home(name)) and target != module.removesuffix(".__init__")
        ]
    return found


def upwards(name: str) -> Iterator[str]:
    """``a.b.c``, ``a.b`` and ``a``."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def named(node: ast.AST, module: str) -> list[str]:
    """The dotted names that a node imports, or reads from lowerbound itself."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        package = module.split(".")[: -node.level] if node.level else []
        base = [*package, *filter(None, [node.module])]
        return [".".join([*base, alias.name]) for alias in node.names]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return [f"lowerbound.{node.attr}"] if node.value.id == "lowerbound" else []
    return []


def top(module: str) -> str:
    """``data`` of ``lowerbound.data.idx``, and ``lowerbound`` of itself."""
    return module.split(".")[:2][-1]


def climbs(found: list[Import]) -> list[str]:
    """The imports that do not point down; those for types count, since they name what is above."""
    return [
        str(i)
        for i in found
        if top(i.importer) != top(i.imported) and LEVEL[top(i.importer)] <= LEVEL[top(i.imported)]
    ]


def circle(found: list[Import]) -> list[str]:
    """Modules that import each other in a circle, or nothing.

    Two modules may name each other's types.
    """
    below: dict[str, set[str]] = {}
    for i in found:
        if not i.for_types:
            below.setdefault(i.importer, set()).add(i.imported)
    try:
        graphlib.TopologicalSorter(below).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_imports_point_down_without_circles():
    files = sources()
    assert {Path(path).parts[1].removesuffix(".py") for path in files} == {"__init__", *LEVEL} - {
        "lowerbound"
    }
    found = imports(files)
    assert not climbs(found)
    assert not circle(found)


@pytest.mark.parametrize(
    "statement",
    [
        "import lowerbound.vae",
        "from lowerbound.vae import VAE",
        "from lowerbound import vae",
        "from lowerbound import VAE",
        "from .. import vae",
        "from ..vae import VAE",
        "def late():\n    from lowerbound.vae import VAE",
        "if TYPE_CHECKING:\n    from lowerbound.vae import VAE",
        "import lowerbound\nlowerbound.VAE",
    ],
)
def test_a_climb_is_seen_in_whatever_form(statement):
    files = dict.fromkeys(["lowerbound/__init__.py", "lowerbound/vae.py"], "")
    found = imports(files | {"lowerbound/data/idx.py": statement})
    assert any("lowerbound.data.idx, line" in c and "lowerbound.vae" in c for c in climbs(found))
    assert not climbs(
        imports({"lowerbound/data/idx.py": "", "lowerbound/vae.py": "from .data import idx"})
    )


def test_a_circle_is_seen_unless_it_is_for_types():
    first, second = "lowerbound/data/a.py", "lowerbound/data/b.py"
    files = {first: "from . import b", second: "def late():\n    from lowerbound.data.a import x"}
    assert set(circle(imports(files))) == {"lowerbound.data.a", "lowerbound.data.b"}
    files[second] = "if TYPE_CHECKING:\n    from lowerbound.data.a import x"
    assert not circle(imports(files))


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


def test_public_names_are_documented():
    for name in PUBLIC - {"__version__"}:
        assert inspect.getdoc(getattr(lb, name)), name


def test_public_methods_are_documented_or_inherit_their_documentation():
    missing = []
    for found in pkgutil.walk_packages(lb.__path__, "lowerbound."):
        module = importlib.import_module(found.name)
        classes = [value for value in vars(module).values() if inspect.isclass(value)]
        missing += [
            f"{value.__module__}.{value.__name__}.{name}"
            for value in classes
            if value.__module__ == found.name and not value.__name__.startswith("_")
            for name, member in vars(value).items()
            if not name.startswith("_")
            and (inspect.isfunction(member) or isinstance(member, property))
            if not inspect.getdoc(getattr(value, name))
        ]
    assert not missing


def test_modules_stay_small():
    long = {path: lines for path, text in sources().items() if (lines := text.count("\n")) > 400}
    assert not long


def test_noise_has_a_stream_of_its_own_wherever_it_is_seeded():
    seeding = {path for path, text in sources().items() if "manual_seed" in text}
    # First weights are what `torch.manual_seed` gives, as in any program of torch; the order of
    # examples follows from a key.
    assert seeding == {
        f"lowerbound/{path}.py" for path in ("streams", "runs/train", "data/batches")
    }
    keys = [streams.key(seed, stream) for seed in range(20) for stream in streams.Stream]
    assert len({*keys, *range(20)}) == len(keys) + 20
