"""Transforms from data as it is kept to the tensors that a model sees, per batch, on its device.

``output`` names what comes out, in the words of `likelihoods.Support`: a likelihood is a density of
the data only where the two agree.  ``log_volume`` is what must be added to a log-density of the
transformed x to make it one of the data (the log of the Jacobian), in nats per example.  Random
transforms draw from torch's global generator, which `fit` and `evaluate` seed.  A missing element,
NaN, stays one.  What comes out is of any floating type, which `VAE.prepare` brings to the model's.
"""

from lowerbound.transforms.base import Identity, Transform
from lowerbound.transforms.discrete import Codes, Counts, Levels, Tokens
from lowerbound.transforms.fields import PerField
from lowerbound.transforms.grey import Binarise, Binary, Dequantise, Scale
from lowerbound.transforms.spike import FromSpike
from lowerbound.transforms.standardise import Standardise

__all__ = [
    "Binarise",
    "Binary",
    "Codes",
    "Counts",
    "Dequantise",
    "FromSpike",
    "Identity",
    "Levels",
    "PerField",
    "Scale",
    "Standardise",
    "Tokens",
    "Transform",
]
