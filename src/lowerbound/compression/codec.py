"""`compress` and `decompress`: arrays ⇄ bytes, with a model that both sides have."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from lowerbound.compression.coders import Stack, families
from lowerbound.compression.exact_vae import ExactVAE
from lowerbound.compression.file_format import WORD, Header, pack, unpack
from lowerbound.compression.layout import Layout, layout_of
from lowerbound.errors import DataError, StorageError
from lowerbound.files import hash_tensors
from lowerbound.parts import describe
from lowerbound.vae import VAE

Progress = Callable[[int, int], None]
CHECK = families.Uniform(256)
WORD_BITS = 32
SPARE_WORDS, FEWEST_WORDS = 32, 2


@dataclass(frozen=True)
class Compressed:
    """What `compress` made.

    Attributes:
        content: the file.
        method: ``"bits-back"``, or ``"deflate"`` where that takes less, as the model does not know
            such data.
        examples: how many it holds.
        dimensions: elements of one example.
        initial_bits: bits that were there before the first example, for its code to be taken from;
            the file holds them, and decoding gives them back.
    """

    content: bytes
    method: Literal["bits-back", "deflate"]
    examples: int
    dimensions: int
    initial_bits: int

    @property
    def nats_per_example(self) -> float:
        """Size of the whole file, to be compared with the −ELBO."""
        return 8 * len(self.content) * math.log(2) / self.examples

    @property
    def bits_per_dimension(self) -> float:
        """Size of the whole file."""
        return 8 * len(self.content) / (self.examples * self.dimensions)


def compress(
    model: VAE, x: np.ndarray | torch.Tensor, *, progress: Progress | None = None
) -> Compressed:
    """x as bytes, about −ELBO/log 2 bits for each example, from which `decompress` restores it.

    The networks run on the CPU in exact arithmetic, so that the bytes can be
    decoded with any number of threads and on other machines.  Data that the model does not know
    are deflated where that takes less, so that no file is larger than the data and a header.

    Args:
        model: its prior must be a `StandardNormal`, a `GaussianMixture` or a `VampPrior`, and its
            posterior a `DiagonalGaussian`.
        x: (n, *shape): binary images (0 and 1, or 0 and 255) for a Bernoulli likelihood, or grey
            levels 0–255 for a likelihood of those, laid out in any way that `lowerbound.data`
            reads.
        progress: called with the examples done and their number.

    Raises:
        ConfigurationError: the model has another prior, posterior or likelihood.
        DataError: x has another shape or other values than the model's.
    """
    exact = ExactVAE(model)
    array, layout, symbols = _symbols(exact, x)
    if layout.array(symbols).tobytes() != array.tobytes():
        raise DataError("expected no negative zeros, which cannot be kept; add 0.0 to the data")
    identity = fingerprint(model)
    initial = _initial_words(identity, exact.taken * exact.block)
    words = _coded(exact, symbols, initial, progress)
    deflated = zlib.compress(array.tobytes(), 9)
    examples, dimensions = len(symbols), math.prod(exact.shape)
    kept = 0
    if words is not None:
        overlap = min(len(initial), len(words))
        kept = int(np.cumprod(initial[:overlap] == words[:overlap]).sum())
    data = hashlib.sha256(array.tobytes()).digest()
    header = Header(identity, data, layout, exact.grid.bits, exact.block, kept)
    if words is None or words[kept:].nbytes > len(deflated):
        content = pack(header._replace(initial=0), deflated)
        return Compressed(content, "deflate", examples, dimensions, 0)
    initial_bits = WORD_BITS * (len(initial) - kept)
    return Compressed(pack(header, words[kept:]), "bits-back", examples, dimensions, initial_bits)


def decompress(model: VAE, content: bytes, *, progress: Progress | None = None) -> np.ndarray:
    """The array that `compress` was given: the same bytes, dtype and shape.

    Args:
        model: the one that compressed it.
        content: what `compress` made, its ``content``.
        progress: called with the examples done and their number.

    Raises:
        StorageError: the bytes were damaged, or made with another model.
        DataError: the array would not fit in memory.
    """
    header, payload = unpack(content)
    identity = fingerprint(model)
    if header.model != identity:
        raise StorageError(
            "expected the model that the file was compressed with (SHA-256 "
            f"{header.model.hex()}), got another ({identity.hex()})"
        )
    layout, exact = header.layout, ExactVAE(model, header.grid_bits)
    if not layout.fits(exact.shape) or header.block != exact.block:
        raise StorageError("the file's header does not fit the model; compress the data again")
    if isinstance(payload, bytes):
        return _inflated(header, payload)
    initial = _initial_words(identity, exact.taken * exact.block)
    stack = Stack(np.concatenate([initial[: header.initial], payload]))
    symbols = np.empty((layout.shape[0], *exact.shape), np.uint8)
    done = 0
    for block in reversed(_blocks(symbols, exact.block)):
        check = stack.decode(CHECK)
        try:
            block[:] = exact.coder(len(block)).pop(stack).reshape(block.shape)
        except KeyError:
            raise _differs() from None
        if check != _check(block):
            raise _differs()
        done += len(block)
        if progress:
            progress(done, len(symbols))
    array = layout.array(symbols)
    restored = np.array_equal(stack.get_compressed(), Stack(initial, seal=True).get_compressed())
    if not restored or hashlib.sha256(array.tobytes()).digest() != header.data:
        raise _differs()
    return array


def as_data(model: VAE, x: np.ndarray | torch.Tensor) -> torch.Tensor:
    """What `compress` codes of x, (n, *shape) in the units of the ``model``'s data, for `evaluate`.

    Raises:
        ConfigurationError, DataError: as `compress`.
    """
    exact = ExactVAE(model)
    white = getattr(model.transform, "maximum", 1.0) / (exact.levels - 1)
    return torch.from_numpy(_symbols(exact, x)[-1]) * white


def fingerprint(model: VAE) -> bytes:
    """SHA-256 of the model's description and weights."""
    return hash_tensors(json.dumps(describe(model), sort_keys=True), model.state_dict())


def block_sizes(examples: int, largest: int) -> list[int]:
    """Sizes of the blocks: each a quarter of all before it, and at most ``largest``.

    A block takes bits for its codes before it gives any back, and more for each example than an
    example then leaves; so small first blocks need few bits to begin with.

    >>> block_sizes(20, 4)
    [1, 1, 1, 1, 2, 2, 3, 3, 4, 2]
    """
    sizes: list[int] = []
    done = 0
    while done < examples:
        sizes.append(min(largest, 1 + done // 4, examples - done))
        done += sizes[-1]
    return sizes


def _coded(
    exact: ExactVAE, symbols: np.ndarray, initial: np.ndarray, progress: Progress | None
) -> np.ndarray | None:
    """The stack's words; None for data that need more bits for their codes than there are."""
    stack, done = Stack(initial, seal=True), 0
    for block in _blocks(symbols, exact.block):
        if exact.coder(len(block)).push(stack, block.ravel().astype(np.int32)) < FEWEST_WORDS:
            return None
        stack.encode_reverse(_check(block), CHECK)
        done += len(block)
        if progress:
            progress(done, len(symbols))
    return stack.get_compressed()


def _inflated(header: Header, deflated: bytes) -> np.ndarray:
    """The array, whose size is that of the header and no more."""
    dtype, shape = np.dtype(header.layout.dtype), header.layout.shape
    try:
        content = zlib.decompressobj().decompress(deflated, dtype.itemsize * math.prod(shape))
        array = np.frombuffer(content, dtype).reshape(shape).copy()
    except (zlib.error, ValueError):
        raise _differs() from None
    if hashlib.sha256(content).digest() != header.data:
        raise _differs()
    return array


def _symbols(
    exact: ExactVAE, x: np.ndarray | torch.Tensor
) -> tuple[np.ndarray, Layout, np.ndarray]:
    """x as an array, its layout and its symbols."""
    array = x.numpy(force=True) if isinstance(x, torch.Tensor) else np.asarray(x)
    layout = layout_of(array, exact.shape, exact.levels)
    return array, layout, layout.symbols(array, exact.shape)


def _blocks(symbols: np.ndarray, largest: int) -> list[np.ndarray]:
    """Views of the symbols, block by block."""
    return np.split(symbols, np.cumsum(block_sizes(len(symbols), largest))[:-1])


def _initial_words(identity: bytes, codes: int) -> np.ndarray:
    """Random words that both sides can make, enough to take so many codes from."""
    content = hashlib.shake_256(identity).digest(WORD.itemsize * (SPARE_WORDS + codes))
    return np.frombuffer(content, WORD).astype(np.uint32)


def _check(block: np.ndarray) -> int:
    """A byte that shows, long before the end, that a block went wrong."""
    return zlib.crc32(block.tobytes()) & 0xFF


def _differs() -> StorageError:
    return StorageError(
        "what was decoded is not what was encoded: the networks' numbers on this machine differ "
        "from those on the one that compressed; decompress there"
    )
