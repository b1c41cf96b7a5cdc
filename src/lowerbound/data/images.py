"""Folders of images, decoded by Pillow.

Grey images stay one channel; all others become RGB, and grey ones beside them too.  Levels are 0 to
255; where a grey image has 16 bits, all become numbers from 0 to 1.  Transparent pixels are laid on
white, the orientation in EXIF is applied, and of an animation the first frame is read.  Then the
middle is cropped, and resized, where that is asked for.  Images lie in the folder itself, or in
one sub-folder per class; ``train`` and ``test`` folders, each laid out so, are the parts.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Parts, Raw, check_array, part_folders
from lowerbound.data.reading import Reading
from lowerbound.errors import DataError, brief
from lowerbound.extras import Deferred
from lowerbound.logs import log

if TYPE_CHECKING:
    from PIL.Image import Image

images, image_ops = (Deferred(f"PIL.{name}", "images") for name in ("Image", "ImageOps"))

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
)
GREY_MODES = ("1", "L", "LA")
DEEP_MODES, DEEPEST = ("I;16", "I;16L", "I;16B", "I;16N"), 65535
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")


class Damaged(DataError):
    """An image that cannot be decoded."""


def read_images(folder: Path, reading: Reading) -> Parts:
    """The images in a folder, (n, C, H, W), in the order of their names.

    Raises:
        DataError: no images, images of different sizes or of other modes, or a damaged one.
    """
    folders = part_folders(folder)
    listed = {part: _list(path) for part, path in folders.items()}
    x, kept = _decode([path for paths, _ in listed.values() for path in paths], folder, reading)
    parts: Parts = {}
    for part, (paths, labels) in listed.items():
        here, kept = kept[: len(paths)], kept[len(paths) :]
        if not here.any():
            raise DataError(f"{folders[part]}: expected images that can be read, got none")
        labels_from = None if labels is None else "the names of the folders"
        classes = None if labels is None else labels[here]
        parts[part] = Raw(x[: here.sum()], str(folders[part]), classes, labels_from)
        x = x[here.sum() :]
    return parts


def _list(folder: Path) -> tuple[list[Path], np.ndarray | None]:
    """The images in a folder, and the name of the sub-folder of each where there are such."""
    paths = _images_in(folder)
    classes = {sub.name: _images_in(sub) for sub in sorted(folder.iterdir()) if _is_class(sub)}
    if paths and any(classes.values()):
        name = next(name for name, inside in classes.items() if inside)
        raise DataError(
            f"{folder}: expected images in the folder itself or in one sub-folder per class, got "
            f"both ({paths[0].name} and {name}/{classes[name][0].name}); move them"
        )
    if paths:
        return paths, None
    if not any(classes.values()):
        raise DataError(
            f"{folder}: expected images ({', '.join(sorted(SUFFIXES))}), in the folder itself or "
            "in one sub-folder per class, or melodies (.abc, .mid, .musicxml), got none"
        )
    for name, inside in classes.items():
        if any("\ud800" <= letter <= "\udfff" for letter in name):  # bytes that are no UTF-8
            raise DataError(
                f"{folder}: expected folders whose names, the classes, are text in UTF-8, got "
                f"{os.fsencode(name)!r}; rename it"
            )
        if not inside:
            raise DataError(
                f"{folder}: expected images in every sub-folder, one per class, got none in "
                f"{name}/; remove it"
            )
    labels = np.repeat(list(classes), [len(inside) for inside in classes.values()])
    return [path for inside in classes.values() for path in inside], labels


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _images_in(folder: Path) -> list[Path]:
    """The images in a folder by name; links that lead nowhere, and pipes, are told."""
    named = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    )
    found = [path for path in named if path.is_file()]
    if lost := [path.name for path in named if not path.is_file()]:
        log.info(
            "%s: %s are no files, or links that lead to none, and left out: %s",
            folder.name,
            f"{len(lost):,} of {len(named):,} images",
            quoted(lost),
        )
    return found


def _decode(paths: list[Path], folder: Path, reading: Reading) -> tuple[np.ndarray, np.ndarray]:
    """The images (n, C, H, W), and which of ``paths`` they are of.

    They are uint8, or float32 in [0, 1] if one has 16 bits, of one channel if all are grey, else of
    three.
    """
    out: np.ndarray | None = None
    kept = np.ones(len(paths), bool)
    first, shortened = paths[0], 0
    for i, path in enumerate(paths):
        try:
            with _opened(path) as image:
                deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
                shortened += deep and image.mode in ("RGB", "RGBA", "RGBX")
                pixels = _pixels(path, image, reading)
        except Damaged:
            if not reading.skip_broken:
                raise
            kept[i] = False
            continue
        if out is None:
            out, first = np.empty((0, *pixels.shape), pixels.dtype), path
        if out.shape[2:] != pixels.shape[1:]:
            raise DataError(
                f"{path}: expected {out.shape[3]}×{out.shape[2]} pixels (width × height) as in "
                f"{first.name}, got {pixels.shape[2]}×{pixels.shape[1]}; bring the images to one "
                "size with resize= (--resize 64)"
            )
        out = _room(out, len(paths), pixels, str(folder))
        out[kept[:i].sum()] = pixels if out.dtype == pixels.dtype else pixels / np.float32(255)
    lost = [path.name for path, whole in zip(paths, kept, strict=True) if not whole]
    if out is None:
        raise DataError(f"{folder}: expected images that can be read, got none")
    if lost:
        share = f"{len(lost):,} of {len(paths):,}"
        log.info("%s: %s images are broken, left out: %s", folder.name, share, quoted(lost))
    if shortened:
        log.info("%s: of 16 bits per channel of colour, 8 are read", folder.name)
    if out.dtype == np.float32:
        log.info("%s: levels of 16 bits become numbers from 0 to 1", folder.name)
    return out[: kept.sum()], kept


def _room(out: np.ndarray, n: int, pixels: np.ndarray, where: str) -> np.ndarray:
    """``out``, or its images in a larger array, for ``n`` images like it and ``pixels``."""
    channels = max(out.shape[1], len(pixels))
    dtype = np.result_type(out, pixels)
    if (len(out), out.shape[1], out.dtype) == (n, channels, dtype):
        return out
    shape = (n, channels, *pixels.shape[1:])
    check_array(math.prod(shape), dtype, where)
    larger = np.empty(shape, dtype)
    larger[: len(out)] = out if dtype == out.dtype else out / np.float32(255)
    return larger


def _pixels(path: Path, image: Image, reading: Reading) -> np.ndarray:
    """The upright image on white, (C, H, W), of one channel if it is grey, else of three.

    It is uint8, or float32 in [0, 1] where it has 16 bits.
    """
    # Of 16 bits in a PGM, Pillow makes whole numbers up to the same DEEPEST.
    deep = image.mode in DEEP_MODES or (image.format, image.mode) == ("PPM", "I")
    if not deep and image.mode not in GREY_MODES + COLOUR_MODES:
        raise DataError(
            f"{path}: expected an image of 8 bits per channel, or grey of 16, got mode "
            f"{image.mode}; convert the images, or save their values in an .npy file"
        )
    grey = _is_grey(image)
    if deep:  # which as floats can be resized without loss
        levels = np.asarray(image_ops.exif_transpose(image)).astype(np.float32)
        whole = images.fromarray(levels)
    else:
        whole = _on_white(image_ops.exif_transpose(image)).convert("L" if grey else "RGB")
    pixels = np.asarray(_to_size(path, whole, reading))
    if deep:
        pixels = pixels / np.float32(DEEPEST)
    return np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), 2, 0)


def _to_size(path: Path, image: Image, reading: Reading) -> Image:
    """The middle of the image, and that resized, as far as asked for."""
    if isinstance(reading.crop, tuple):
        (width, height), (wide, high) = reading.crop, image.size
        if width > wide or height > high:
            raise DataError(
                f"{path}: expected at least {width}×{height} pixels (width × height) to crop, got "
                f"{wide}×{high}; choose a smaller crop= (--crop)"
            )
        left, top = (wide - width) // 2, (high - height) // 2
        image = image.crop((left, top, left + width, top + height))
    if isinstance(reading.resize, tuple):
        image = image_ops.fit(image, reading.resize, images.Resampling.BILINEAR)
    return image


def _is_grey(image: Image) -> bool:
    if image.mode != "P":
        return image.mode in GREY_MODES
    palette = np.reshape(image.getpalette("RGB") or [0, 0, 1], (-1, 3))
    return bool((palette == palette[:, :1]).all())


def _on_white(image: Image) -> Image:
    if not image.has_transparency_data:
        return image
    white = images.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The image in a file; what Pillow refuses, and its guard against huge images, as DataError."""
    bombs = images.DecompressionBombWarning, images.DecompressionBombError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", bombs[0])
            with images.open(path) as image:
                yield image
    except (DataError, MemoryError, PermissionError):
        raise
    except bombs as error:
        raise DataError(
            f"{path}: expected at most {images.MAX_IMAGE_PIXELS:,} pixels, got more "
            f"({brief(error)}); make it smaller"
        ) from None
    except Exception as error:  # a decoder that meets damage can raise anything
        raise Damaged(
            f"{path}: expected a whole image, got one that is truncated or damaged "
            f"({brief(error)}); replace or remove it, or leave such out with skip_broken=True "
            "(--skip-broken)"
        ) from None
