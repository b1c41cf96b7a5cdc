"""`compose`: a VAE of parts that await their sizes, which follow from the data and the code's."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.context import Labels
from lowerbound.data import Data, as_dataset
from lowerbound.data.tokens import END, as_tokens
from lowerbound.errors import ConfigurationError
from lowerbound.likelihoods import TAKES, Autoregressive
from lowerbound.networks import MLP, FieldInputs, Given, LogCounts
from lowerbound.parts import REGISTRY, Size, awaiting, complete, parameters_of, registered
from lowerbound.recipes.settings import part_of
from lowerbound.recipes.size import within_memory
from lowerbound.transforms import Binarise, Binary, Counts, PerField, Tokens, Transform
from lowerbound.vae import VAE

Part = Any
"""A part's name, its class, its class with some arguments (`functools.partial`), its description
(``{"part": "GaussianMixture", "components": 4}``), or the part itself, complete."""

FITTING = {
    "binary": "Bernoulli",
    "grey": "ContinuousBernoulli",
    "unit": "ContinuousBernoulli",
    "real": "Gaussian",
    "positive": "Gaussian",
    "counts": "NegativeBinomial",
    "categories": "Nominal",
    "tokens": "Autoregressive",
}
"""The likelihood of ``likelihood="auto"`` for each kind of values."""

SAMPLE_ROWS, SAMPLE_ELEMENTS = 10_000, 2**23

DENSE = partial(MLP, hidden=(512,))

log = logging.getLogger("lowerbound")


def compose(
    data: Any,
    latent_dim: Size = 20,
    *,
    network: Part = DENSE,
    prior: Part = "StandardNormal",
    posterior: Part = "DiagonalGaussian",
    likelihood: Part = "auto",
    transform: Part = None,
    conditional: bool = False,
) -> VAE:
    """A VAE for ``data``: what the parts leave open is filled in from the data and ``latent_dim``.

    A part is given by its name, its class with some arguments (`functools.partial`), a description
    such as ``{"part": "MLP", "hidden": [64]}``, or as it is, complete.

    Args:
        data: what the model is for, whatever `data.as_dataset` takes; its shape, schema, moments
            and classes are used.
        latent_dim: the dimensions of z.
        network: of the encoder, by default an MLP with 512 hidden units; the decoder is its mirror
            image.  ``posterior`` and ``likelihood`` may name a ``network`` of their own.
        prior: p(z).
        posterior: q(z|x).
        likelihood: ``"auto"`` takes the one that fits the kind of values.
        transform: None takes the one that the likelihood asks for.  ``Binarise`` draws binary
            values afresh at each use.
        conditional: the class of each example is given to the parts.

    Raises:
        ConfigurationError: parts that do not fit the data, or are not complete.

    >>> from lowerbound.data import load
    >>> digits = load("digits").train
    >>> network = {"part": "MLP", "hidden": [64]}
    >>> model = compose(digits, 2, network=network, prior="GaussianMixture")
    >>> type(model.likelihood).__name__, model.prior.components
    ('ContinuousBernoulli', 10)
    """
    data = as_dataset(data)
    network, prior, posterior = (
        part_of(axis, awaiting(value))
        for axis, value in (("network", network), ("prior", prior), ("posterior", posterior))
    )
    context = labels_of(data) if conditional else None
    classes = context.classes if context else 0
    if _is_of_tokens(likelihood):
        made = isinstance(likelihood, Autoregressive)
        data = as_tokens(likelihood.by_name(data) if made else data)
    sizes = {"latent_dim": latent_dim, "shape": data.shape, "context_dim": classes}
    if data.kind == "tokens":
        vocabulary = data.schema[0].categories or ("",)
        codes, ends = len(vocabulary), vocabulary[-1] == END
        sizes |= {"vocabulary": vocabulary, "codes": codes, "ends": ends}
    observed = observe(data, likelihood, transform)
    with within_memory():
        p_x = with_network(observed.likelihood, mirrored(network), sizes, latent_dim)
        p_z = named_prior(prior, sizes, data)
        q = with_network(posterior, network, sizes, observed.inputs, observed.encoder)
    model = VAE(p_z, q, p_x, observed.transform, context, data.columns)
    if isinstance(observed.likelihood, Mapping):
        start_likelihood(model, data)
    start_at_data(model, data)
    return model


def _is_of_tokens(likelihood: Part) -> bool:
    description = awaiting(likelihood)
    name = description.get("part") if isinstance(description, Mapping) else type(likelihood)
    cls = REGISTRY.get(name) if isinstance(name, str) else name
    return getattr(cls, "support", None) == "tokens"


def with_network(
    description: Part,
    default: Part,
    sizes: Mapping[str, Any],
    in_features: int,
    wrap: Callable[[nn.Module], nn.Module] = lambda network: network,
) -> nn.Module:
    """The part, complete, with the network that it names, or else ``default``."""
    if not isinstance(description, Mapping):
        return description
    if "network" not in parameters_of(registered(description.get("part"))):
        return complete(description, **sizes)
    with torch.random.fork_rng([]):
        probe = complete({**description, "network": nn.Identity()}, **sizes)
    if not hasattr(probe, "outputs"):
        raise ConfigurationError(
            f"expected {type(probe).__name__} to have outputs, how many numbers its network "
            "returns for an example, got none; set it as an attribute"
        )
    named = awaiting(description.get("network", default))
    shape = tuple(sizes["shape"])
    if isinstance(named, Mapping) and "shape" in parameters_of(registered(named.get("part"))):
        if len(shape) != 3:
            raise ConfigurationError(
                f"expected images (C, H, W) for the {named['part']} network, got examples of shape "
                f"{shape}; use network=MLP, as the mlp recipe does"
            )
        if hasattr(probe, "support"):  # a decoder's network returns maps
            shape = (probe.outputs // math.prod(shape[1:]), *shape[1:])
    if isinstance(named, Mapping) and "codes" in parameters_of(registered(named.get("part"))):
        if "codes" not in sizes:
            raise ConfigurationError(
                f"expected tokens for the {named['part']} network, got examples of shape {shape} "
                "of another kind; use likelihood=Autoregressive, as the tokens recipe does"
            )
        in_features, wrap = math.prod(shape), _itself
    network = complete(
        named,
        **dict(sizes)
        | {
            "in_features": in_features,
            "out_features": probe.outputs,
            "shape": shape,
            "steps": getattr(probe, "segments", 1),
        },
    )
    return complete({**description, "network": wrap(network)}, **sizes)


def mirrored(network: Part) -> Part:
    """The decoder's network of an encoder's: the same, or its ``mirror``, with sizes reversed.

    >>> mirrored({"part": "Convolutional", "channels": [16, 32], "stride": 1})
    {'part': 'Deconvolutional', 'channels': [32, 16], 'stride': 1}
    """
    if not isinstance(network, Mapping):
        raise ConfigurationError(
            f"expected the name of a network, which awaits its sizes, got {network!r}; one made by "
            "hand goes into posterior or likelihood"
        )
    arguments = {
        name: value[::-1] if isinstance(value, list | tuple) else value
        for name, value in network.items()
    }
    cls = registered(network.get("part"))
    mirror = getattr(cls, "mirror", cls.__name__)
    known = {"part", *parameters_of(registered(mirror))}
    return {name: arguments[name] for name in arguments if name in known} | {"part": mirror}


def named_prior(description: Part, sizes: Mapping[str, Any], data: Data) -> nn.Module:
    """The prior, complete; one of pseudo-inputs has no more of them than there are examples.

    Raises:
        ConfigurationError: a class-conditional prior in a model that is not conditional.
    """
    if not isinstance(description, Mapping):
        return description
    cls = registered(description.get("part"))
    if "network" in parameters_of(cls) and not sizes["context_dim"]:
        raise ConfigurationError(
            f"expected a conditional model for the {cls.__name__} prior; add --set conditional=true"
        )
    if hasattr(cls, "start_at"):
        if data.missing or any(field.categories for field in data.schema):
            raise ConfigurationError(
                f"expected numbers throughout for a {cls.__name__}, whose pseudo-inputs are like "
                f"the data, got missing values or categories in {data.name}; choose another prior"
            )
        wanted = description.get("components", parameters_of(cls)["components"].default)
        if wanted > len(data):
            log.info(
                "%s: %s pseudo-inputs, one for each example, not %s",
                data.name,
                f"{len(data):,}",
                f"{wanted:,}",
            )
        description = {**description, "components": min(wanted, len(data))}
    linear = {"part": "MLP", "hidden": []}
    without_context = {**sizes, "context_dim": 0} if "network" in parameters_of(cls) else sizes
    return with_network(description, linear, without_context, sizes["context_dim"])


@dataclass(frozen=True)
class Observation:
    """How x is observed: a likelihood that awaits its network, and what brings data to it.

    Attributes:
        likelihood: its description, or the part itself.
        transform: from data as they are kept to the likelihood's support.
        inputs: the numbers that the encoder's network is given for one x.
        encoder: makes of a network one that takes x.
    """

    likelihood: Part
    transform: Transform
    inputs: int
    encoder: Callable[[nn.Module], nn.Module]


def observe(data: Data, likelihood: Part = "auto", transform: Part = None) -> Observation:
    """The likelihood asked for, or the one that fits the values in ``data``, and its transform.

    Raises:
        ConfigurationError: the likelihood or the transform does not take such values.
    """
    if len(data.schema) > 1 and any(field.kind == "tokens" for field in data.schema):
        raise ConfigurationError(
            f"expected tokens as one field of shape (T,), got {len(data.schema)} fields in "
            f"{data.name}; columns whose order says nothing are of kind categories"
        )
    chosen = part_of("likelihood", awaiting(likelihood))
    several = data.missing or data.kind in ("mixed", "categories")
    if several or chosen == {"part": "Heterogeneous"}:
        if (chosen != "auto" and chosen != {"part": "Heterogeneous"}) or transform is not None:
            raise ConfigurationError(
                f"expected likelihood=auto and no transform for {data.name}, where values are "
                f"missing or of several kinds, got likelihood={likelihood} and "
                f"transform={transform}; each kind has its own, in the Heterogeneous likelihood"
            )
        return _observe_fields(data)
    asked = _transform(transform, data)
    kind = "binary" if isinstance(asked, Binary | Binarise) else data.kind
    chosen = {"part": FITTING[kind]} if chosen == "auto" else chosen
    cls = registered(chosen.get("part")) if isinstance(chosen, Mapping) else type(chosen)
    takes = getattr(cls, "takes", None) or TAKES.get(getattr(cls, "support", ""), {})
    if kind not in takes:
        remedy = "the mlp recipe with likelihood=auto fits them"
        if kind == "counts" and data.values.high <= 255 and "grey" in takes:
            remedy = (
                "if they are grey levels, keep them as uint8 (an .npy file or array), of shape (n, "
                "height, width) for pictures; as counts, likelihood=auto fits them"
            )
        raise ConfigurationError(
            f"expected data that are {' or '.join(takes)} for the {cls.__name__} likelihood, got "
            f"{data.name}, which are {kind}; {remedy}"
        )
    brought = asked or takes[kind].of(data)
    if isinstance(brought, Tokens):
        one_hot = (len(data.schema[0].categories or ()),) * data.shape[0]
        width = FieldInputs.width(one_hot, missing=False)
        return Observation(chosen, brought, width, partial(FieldInputs, categories=one_hot))
    wrap = _log_counts(data) if isinstance(brought, Counts) else _itself
    return Observation(chosen, brought, math.prod(data.shape), wrap)


def _transform(asked: Part, data: Data) -> Transform | None:
    """The transform asked for: by its name alone, as it follows from the data."""
    description = part_of("transform", awaiting(asked))
    if not isinstance(description, Mapping):
        return description
    cls: Any = registered(description.get("part"))
    return cls.of(data) if len(description) == 1 else complete(description)


def _log_counts(data: Data) -> Callable[[nn.Module], nn.Module]:
    """Encoders of log(1 + x), standardised: by column, or in images as one."""
    logs = sample(data, Counts()).double().log1p()
    rows = logs if logs.ndim == 2 else logs.reshape(-1, 1)
    deviation, mean = torch.std_mean(rows, 0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    return partial(LogCounts, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))


def _itself(network: nn.Module) -> nn.Module:
    return network


@dataclass(frozen=True)
class _Columns:
    """Some columns of a table, as a transform takes values."""

    name: str
    kind: str
    scale: float
    moments: Any


def _observe_fields(data: Data) -> Observation:
    """A family for the fields of each kind, and encoders that see what is observed."""
    if len(data.shape) != 1:
        raise ConfigurationError(
            f"expected a table of fields where values are missing or of several kinds, got "
            f"{data.name} of shape {data.shape}"
        )
    fields = [field for field in data.schema for _ in range(field.size)]
    mean, variance = data.moments.mean, data.moments.variance()
    groups: dict[tuple[str, Any, float], list[int]] = {}
    for i, field in enumerate(fields):
        # E x² = s E x of values that are 0 or s.
        two = field.kind == "binary" and mean[i] > 0 and variance[i] / mean[i] + mean[i] > 128
        scale = 255.0 if two or field.kind == "grey" else 1.0
        groups.setdefault((field.kind, field.categories, scale), []).append(i)
    families, transforms = [], []
    for (kind, names, scale), group in groups.items():
        family = complete(
            {"part": FITTING[kind]}, network=Given(), shape=(len(group),), categories=names
        )
        columns = _Columns(data.name, kind, scale, data.moments.of(group))
        families.append(family)
        transforms.append(family.takes[kind].of(columns))
    columns_of = tuple(tuple(group) for group in groups.values())
    categories = tuple(len(field.categories or ()) for field in fields)
    counts = tuple(i for i, field in enumerate(fields) if field.kind == "counts")
    return Observation(
        {"part": "Heterogeneous", "families": families, "columns": columns_of},
        PerField(tuple(transforms), columns_of),
        FieldInputs.width(categories, missing=data.missing),
        lambda network: FieldInputs(network, categories, counts, missing=data.missing),
    )


def start_at_data(model: VAE, data: Data) -> None:
    """Put the pseudo-inputs of a prior that has them on examples drawn from ``data``."""
    prior: Any
    for prior in model.prior.modules():
        if hasattr(prior, "start_at"):
            seed = int(torch.randint(2**62, ()))
            x, _ = next(data.batches(prior.components, seed=seed, device="cpu"))
            prior.start_at(model.transform.noiseless(x))


def start_likelihood(model: VAE, data: Data) -> None:
    """Have p(x|z) start at what p(x) is near in ``data``."""
    if hasattr(model.likelihood, "start"):
        model.likelihood.start(sample(data, model.transform))  # type: ignore[operator]


def sample(data: Data, transform: Transform) -> Tensor:
    """x of all examples, or of as many as tell their moments, transformed without noise."""
    wanted = max(1, min(SAMPLE_ROWS, SAMPLE_ELEMENTS // math.prod(data.shape)))
    batches, found = [], 0
    for x, _ in data.batches(min(wanted, 1000), seed=0, device="cpu"):
        batches.append(transform.noiseless(x))
        found += len(x)
        if found >= wanted:
            break
    return torch.cat(batches)


def labels_of(data: Data) -> Labels:
    """The context of a model of ``data`` that is conditional on the class.

    Raises:
        ConfigurationError: the data have no labels.
    """
    if data.labels is None:
        raise ConfigurationError(
            f"expected class labels in {data.name} for a conditional model, got none"
        )
    return Labels(data.classes or int(data.labels.max()) + 1)
