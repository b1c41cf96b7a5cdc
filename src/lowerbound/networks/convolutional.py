"""Convolutional networks, and their mirror images."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Annotated

import pydantic
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.errors import ShapeError
from lowerbound.networks.activations import Activation, Normalisation, activated
from lowerbound.networks.apply import Context
from lowerbound.parts import NonNegative, Size, part

Blocks = Annotated[int, pydantic.Field(ge=0, le=100)]


@part
class Convolutional(nn.Module):
    """Convolutions with an activation after each, then linear layers.

    The context, if there is one, is appended to the flattened maps.

    Args:
        shape: (channels, height, width) of the input.
        channels: of the maps after each convolution.
        out_features: numbers that it returns for each example; None leaves the last linear layer
            out.
        hidden: widths of the linear layers that follow.
        kernel_size: of each convolution.
        stride: of each convolution; 2 halves the maps.
        padding: zeros around the maps of each convolution.
        activation: after each convolution and each linear layer but the last, as in `MLP`.
        normalisation: ``"layer"`` brings the maps of each example, before each activation, to mean
            0 and variance 1, and learns a scale and a shift for each map.
        residual: blocks h + f(h) after each convolution, f a bottleneck of a quarter of the maps.
        context_dim: width of the context, 0 for none.

    Raises:
        ShapeError: nothing of the image is left after one of the convolutions.
        ConfigurationError: a single map to normalise.

    Source: Ba, Kiros & Hinton, Layer normalization, 2016, arXiv 1607.06450; He, Zhang, Ren & Sun,
    Deep residual learning for image recognition, 2015, arXiv 1512.03385.

    >>> Convolutional((1, 28, 28), (16, 32), 4, kernel_size=3, stride=1, padding=0).maps
    (32, 24, 24)
    """

    mirror = "Deconvolutional"

    def __init__(
        self,
        shape: tuple[Size, Size, Size],
        channels: tuple[Size, ...],
        out_features: Size | None,
        hidden: tuple[Size, ...] = (),
        kernel_size: Size = 3,
        stride: Size = 2,
        padding: NonNegative = 1,
        activation: Activation = "relu",
        normalisation: Normalisation = "none",
        residual: Blocks = 0,
        context_dim: NonNegative = 0,
    ) -> None:
        super().__init__()
        sizes = map_sizes(shape, len(channels), kernel_size, stride, padding)
        self.maps = (channels[-1] if channels else shape[0], *sizes[-1])
        convolution = functools.partial(
            nn.Conv2d, kernel_size=kernel_size, stride=stride, padding=padding
        )
        layers: list[nn.Module] = []
        style = activation, normalisation
        for c_in, c_out in itertools.pairwise((shape[0], *channels)):
            layers += activated(convolution, c_in, c_out, *style)
            layers += (Residual(c_out, *style) for _ in range(residual))
        self.convolutions = nn.Sequential(*layers)
        features = (math.prod(self.maps) + context_dim, *hidden)
        self.linear = nn.Sequential()
        for n_in, n_out in itertools.pairwise(features):
            self.linear.extend(activated(nn.Linear, n_in, n_out, activation))
        if out_features is not None:
            self.linear.append(nn.Linear(features[-1], out_features))

    def forward(
        self, x: Float[Tensor, "batch channels height width"], context: Context = None
    ) -> Float[Tensor, "batch out"]:
        h = self.convolutions(x).flatten(1)
        return self.linear(h if context is None else torch.cat((h, context), -1))


@part
class Deconvolutional(nn.Module):
    """Linear layers, then transposed convolutions: the mirror of `Convolutional`.

    The last layer is linear: it returns logits, or whatever the likelihood takes.

    Args:
        in_features: dimensions of z.
        channels: of the maps from the code outwards: (32, 16) mirrors an encoder of (16, 32).
        shape: (channels, height, width) of the output.
        hidden: widths of the linear layers that come first.
        kernel_size: of each convolution.
        stride: of each convolution; 2 doubles the maps.
        padding: of the convolutions that these mirror.
        activation: after each layer but the last, as in `MLP`.
        normalisation: as in `Convolutional`.
        residual: blocks h + f(h) before each convolution, as in `Convolutional`.
        context_dim: width of the context, 0 for none.

    Raises:
        ShapeError: images of ``shape`` are too small for the convolutions that these mirror.
        ConfigurationError: a single map to normalise.
    """

    def __init__(
        self,
        in_features: Size,
        channels: tuple[Size, ...],
        shape: tuple[Size, Size, Size],
        hidden: tuple[Size, ...] = (),
        kernel_size: Size = 3,
        stride: Size = 2,
        padding: NonNegative = 1,
        activation: Activation = "relu",
        normalisation: Normalisation = "none",
        residual: Blocks = 0,
        context_dim: NonNegative = 0,
    ) -> None:
        super().__init__()
        sizes = map_sizes(shape, len(channels), kernel_size, stride, padding)[::-1]
        self.maps = (channels[0] if channels else shape[0], *sizes[0])
        features = (in_features + context_dim, *hidden, math.prod(self.maps))
        self.linear = nn.Sequential()
        for i, (n_in, n_out) in enumerate(itertools.pairwise(features)):
            if channels or i < len(hidden):
                self.linear.extend(activated(nn.Linear, n_in, n_out, activation))
            else:
                self.linear.append(nn.Linear(n_in, n_out))
        layers: list[nn.Module] = []
        style = activation, normalisation
        for i, (small, large) in enumerate(itertools.pairwise(sizes)):
            # A strided convolution rounds its size down; this is what it rounded away.
            rebuilt = [(n - 1) * stride - 2 * padding + kernel_size for n in small]
            lost = (large[0] - rebuilt[0], large[1] - rebuilt[1])
            transposed = functools.partial(
                nn.ConvTranspose2d,
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                output_padding=lost,
            )
            layers += (Residual(channels[i], *style) for _ in range(residual))
            if i + 1 < len(channels):
                layers += activated(transposed, channels[i], channels[i + 1], *style)
            else:
                layers.append(transposed(channels[i], shape[0]))
        self.convolutions = nn.Sequential(*layers)

    def forward(
        self, z: Float[Tensor, "batch latent"], context: Context = None
    ) -> Float[Tensor, "batch channels height width"]:
        h = self.linear(z if context is None else torch.cat((z, context), -1))
        return self.convolutions(h.unflatten(1, self.maps))


class Residual(nn.Module):
    """h + f(h), with f a convolution of 3×3 between two of 1×1 to and from a quarter of the maps.

    Source: He, Zhang, Ren & Sun, Deep residual learning for image recognition, 2015, arXiv
    1512.03385.
    """

    def __init__(self, channels: int, activation: Activation, normalisation: Normalisation) -> None:
        super().__init__()
        narrow = max(2, channels // 4)
        pointwise = functools.partial(nn.Conv2d, kernel_size=1)
        convolution = functools.partial(nn.Conv2d, kernel_size=3, padding=1)
        self.f = nn.Sequential(
            *activated(pointwise, channels, narrow, activation, normalisation),
            *activated(convolution, narrow, narrow, activation, normalisation),
            pointwise(narrow, channels),
        )

    def forward(self, h: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        return h + self.f(h)


def map_sizes(
    shape: tuple[int, int, int], layers: int, kernel_size: int, stride: int, padding: int
) -> list[tuple[int, int]]:
    """Height and width before and after each of ``layers`` convolutions.

    Raises:
        ShapeError: nothing is left after one of them, or their edges would see no image.

    >>> map_sizes((1, 28, 28), 2, kernel_size=3, stride=2, padding=1)
    [(28, 28), (14, 14), (7, 7)]
    """
    if padding >= kernel_size:
        raise ShapeError(
            f"expected a padding smaller than the kernel, which is {kernel_size}, got {padding}"
        )
    sizes = [shape[1:]]
    for _ in range(layers):
        height, width = ((n + 2 * padding - kernel_size) // stride + 1 for n in sizes[-1])
        if min(height, width) < 1:
            raise ShapeError(
                f"expected images large enough for {layers} convolutions of kernel {kernel_size}, "
                f"stride {stride}, padding {padding}; got {shape[1]}×{shape[2]}, of which nothing "
                f"is left after {len(sizes)}; use fewer layers or a smaller kernel"
            )
        sizes.append((height, width))
    return sizes
