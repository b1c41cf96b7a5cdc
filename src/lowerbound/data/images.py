"""Folders of images, decoded by Pillow.

Grey images stay one channel; all others become RGB, and grey ones beside them too.  Transparent
pixels are laid on white, the orientation in EXIF is applied, and of an animation the first frame is
read.  Images lie in the folder itself, or in one sub-folder per class; ``train`` and ``test``
folders, each laid out so, are the parts.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.conversion import PART_NAMES, Part, Parts, Raw, check_memory
from lowerbound.data.reading import Reading
from lowerbound.errors import DataError
from lowerbound.extras import needs

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
)
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")


def read_images(folder: Path, reading: Reading) -> Parts:
    """The images in a folder, uint8 (n, C, H, W), in the order of their names.

    Raises:
        DataError: no images, images of different sizes or of more than 8 bits, or a damaged one.
    """
    folders: dict[Part, Path] = {
        part: path
        for part, names in PART_NAMES.items()
        for name in reversed(names)  # so that the first of them that is there is taken
        if (path := folder / name).is_dir()
    }
    if "train" not in folders:
        folders = {"all": folder}
    listed = {part: _list(path) for part, path in folders.items()}
    x = _decode([path for paths, _ in listed.values() for path in paths], str(folder))
    parts: Parts = {}
    for part, (paths, labels) in listed.items():
        labels_from = None if labels is None else "the names of the folders"
        parts[part] = Raw(x[: len(paths)], str(folders[part]), labels, labels_from)
        x = x[len(paths) :]
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
            "in one sub-folder per class, got none"
        )
    for name, inside in classes.items():
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
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def _decode(paths: list[Path], where: str) -> np.ndarray:
    """The images, uint8 (n, C, H, W): of one channel if all are grey, else of three."""
    out: np.ndarray | None = None
    for i, path in enumerate(paths):
        with _opened(path) as image:
            pixels = _pixels(path, image)
        shape = (len(paths), *pixels.shape)
        if out is None:
            check_memory(math.prod(shape), where)
            out = np.empty(shape, np.uint8)
        if out.shape[1:3] != shape[1:3]:
            raise DataError(
                f"{path}: expected {out.shape[2]}×{out.shape[1]} pixels (width × height) as in "
                f"{paths[0].name}, got {shape[2]}×{shape[1]}; resize the images to one size"
            )
        if shape[3] > out.shape[3]:
            check_memory(math.prod(shape), where)
            out = np.repeat(out, shape[3], axis=3)
        out[i] = pixels
    assert out is not None
    return np.ascontiguousarray(np.moveaxis(out, 3, 1))


def _pixels(path: Path, image: Image) -> np.ndarray:
    """The upright image on white, uint8 (H, W, C) with one channel if it is grey, else three."""
    upright = needs("PIL.ImageOps", "images").exif_transpose

    if image.mode not in GREY_MODES + COLOUR_MODES:
        raise DataError(
            f"{path}: expected an image of 8 bits per channel, got mode {image.mode}; "
            "convert the images to 8 bits, or save their values in an .npy file"
        )
    grey = _is_grey(image)
    pixels = np.asarray(_on_white(upright(image)).convert("L" if grey else "RGB"))
    return pixels.reshape(*pixels.shape[:2], -1)


def _is_grey(image: Image) -> bool:
    if image.mode != "P":
        return image.mode in GREY_MODES
    palette = np.reshape(image.getpalette("RGB") or [0, 0, 1], (-1, 3))
    return bool((palette == palette[:, :1]).all())


def _on_white(image: Image) -> Image:
    images = needs("PIL.Image", "images")

    if not image.has_transparency_data:
        return image
    white = images.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The image in a file; what Pillow refuses, and its guard against huge images, as DataError."""
    images = needs("PIL.Image", "images")

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", images.DecompressionBombWarning)
            with images.open(path) as image:
                yield image
    except (DataError, MemoryError, PermissionError):
        raise
    except (images.DecompressionBombError, images.DecompressionBombWarning) as error:
        raise DataError(
            f"{path}: expected at most {images.MAX_IMAGE_PIXELS:,} pixels, got more ({error}); "
            "make it smaller"
        ) from None
    except Exception as error:  # a decoder that meets damage can raise anything
        raise DataError(
            f"{path}: expected a whole image, got one that is truncated or damaged ({error}); "
            "replace or remove it"
        ) from None
