"""`compose`: a VAE of parts that await their sizes, which follow from the data and the code's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from lowerbound.context import Known, Labels
from lowerbound.covariates import Covariates
from lowerbound.data import Data, as_dataset
from lowerbound.data.tokens import END, as_tokens
from lowerbound.errors import ConfigurationError
from lowerbound.likelihoods import Autoregressive
from lowerbound.logs import log
from lowerbound.networks import MLP
from lowerbound.parts import REGISTRY, Size, awaiting, complete, parameters_of, registered
from lowerbound.recipes.observation import Part, itself, observe, sample
from lowerbound.recipes.settings import part_of
from lowerbound.recipes.size import within_memory
from lowerbound.vae import VAE

DENSE = partial(MLP, hidden=(512,))


def compose(
    data: Any,
    latent_dim: Size = 20,
    *,
    network: Part = DENSE,
    prior: Part = "StandardNormal",
    posterior: Part = "DiagonalGaussian",
    likelihood: Part = "auto",
    real: Part = None,
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
        real: which one that is for real numbers, in all columns of them, which are standardised;
            None takes a `Gaussian`, or between 0 and 1 a `ContinuousBernoulli`.
        transform: None takes the one that the likelihood asks for.  ``Binarise`` draws binary
            values afresh at each use.
        conditional: the class of each example is given to the parts; covariates, where the data
            have some, are in any case.

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
    context = context_of(data, conditional=conditional)
    features = 0 if context is None else context.width
    if _is_of_tokens(likelihood):
        made = isinstance(likelihood, Autoregressive)
        data = as_tokens(likelihood.by_name(data) if made else data)
    sizes = {"latent_dim": latent_dim, "shape": data.shape, "context_dim": features}
    if data.kind == "tokens":
        vocabulary = data.schema[0].categories or ("",)
        codes, ends = len(vocabulary), vocabulary[-1] == END
        sizes |= {"vocabulary": vocabulary, "codes": codes, "ends": ends}
    observed = observe(data, likelihood, transform, real)
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
        in_features, wrap = math.prod(shape), itself
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
        if data.missing or any(f.categories or f.levels for f in data.schema):
            raise ConfigurationError(
                f"expected numbers throughout for a {cls.__name__}, whose pseudo-inputs are like "
                f"the data, got missing values, categories or levels in "
                f"{data.name}; choose another prior"
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


def context_of(data: Data, *, conditional: bool) -> Known | None:
    """The context of a model of ``data``: their covariates, or the class where it is conditional.

    Raises:
        ConfigurationError: the data have no labels, or have covariates too.
    """
    if data.given is not None:
        if conditional:
            raise ConfigurationError(
                f"expected a model of {data.name} conditional on the class or on what is given, "
                "got both; name the labels' column in given= (--given) too, and leave conditional "
                "out"
            )
        return Covariates.of(data.given)
    if not conditional:
        return None
    if data.labels is None:
        raise ConfigurationError(
            f"expected class labels in {data.name} for a conditional model, got none"
        )
    return Labels(data.classes or int(data.labels.max()) + 1)
