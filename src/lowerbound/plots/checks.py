"""What the figures accept: each check returns an array or raises a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sized

import numpy as np

from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.plots.style import Array


def as_array(value: object, axes: str, what: str) -> Array:
    """``value`` as an array with one axis per letter of ``axes`` ("n D"), none of them empty."""
    array = np.asarray(value)
    wanted = axes.split()
    if array.ndim != len(wanted) or 0 in array.shape:
        raise ShapeError(
            f"expected {what} of shape ({', '.join(wanted)}{',' * (len(wanted) == 1)}) "
            f"with nothing empty, got {array.shape}"
        )
    return array


def as_images(value: object, axes: str, what: str = "images") -> Array:
    """Finite images whose last axes are C H W, with one channel (grey) or three (RGB)."""
    images = as_array(value, axes, what)
    if images.shape[-3] not in (1, 3):
        raise ShapeError(
            f"expected {what} of shape ({', '.join(axes.split())}) with C of 1 or 3, "
            f"got {images.shape}"
        )
    return finite(images, what)


def as_points(value: object, what: str = "z") -> Array:
    """Finite points in the plane, (n, 2)."""
    points = as_array(value, "n 2", what)
    if points.shape[1] != 2:
        raise ShapeError(f"expected {what} of shape (n, 2), got {points.shape}: choose two columns")
    return finite(points, what)


def as_labels(value: object, count: int) -> Array:
    """One whole-number class per example, counted from 0."""
    labels = as_array(value, "n", "labels")
    same_length(labels, count, "labels", "one per example")
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ConfigurationError(
            f"expected labels that are whole numbers from 0, got {labels.dtype} "
            f"with smallest {labels.min()}"
        )
    return labels


def finite(array: Array, what: str) -> Array:
    """``array``, if every number in it is finite."""
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise ConfigurationError(
            f"expected finite {what}, got {bad} of {array.size} values NaN or infinite"
        )
    return array


def one_shape(versions: Mapping[str, Array], what: str) -> tuple[int, ...]:
    """The shape that all ``versions`` of ``what`` are of."""
    shape = next(iter(versions.values())).shape
    for name, version in versions.items():
        if version.shape != shape:
            raise ShapeError(
                f"expected {name} {what} of shape {shape} like the first row, got {version.shape}"
            )
    return shape


def same_length(values: Sized, count: int, what: str, why: str) -> None:
    """Refuse ``values`` unless there are ``count`` of them."""
    if len(values) != count:
        raise ShapeError(f"expected {count} {what} ({why}), got {len(values)}")


def at_least_one(value: int, what: str) -> None:
    """Refuse a count below 1."""
    if value < 1:
        raise ConfigurationError(f"expected at least one of {what}, got {value}")
