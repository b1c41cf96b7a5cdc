"""`compress` and `decompress`: arrays ⇄ bytes, with a model that both sides have."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import constriction
import numpy as np
import torch

from lowerbound.compression import container
from lowerbound.compression.arrays import layout_of
from lowerbound.compression.bits_back import BitsBack, block_sizes
from lowerbound.errors import DataError, StorageError
from lowerbound.parts import describe
from lowerbound.vae import VAE

Progress = Callable[[int, int], None]
LARGEST_BLOCK = 500
NUMBERS_PER_BLOCK = 2**22
WORD_BITS = 32
SPARE_WORDS = 32


@dataclass(frozen=True)
class Compressed:
    """What `compress` made.

    Attributes:
        content: the file.
        examples: how many it holds.
        dimensions: elements of one example.
        initial_bits: bits that were there before the first example, for its code to be taken from;
            the file holds them, and they come out again when it is decoded.
    """

    content: bytes
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

    x holds binary images (0 and 1, or 0 and 255) for a Bernoulli likelihood, or grey levels 0–255
    for one of those, laid out in any way that `lowerbound.data` reads.  The prior must be standard
    normal, a GaussianMixture or a VampPrior, and the posterior a diagonal Gaussian.  The networks
    are run on the CPU in exact arithmetic, so that the bytes decode with any number of threads and
    on other machines.

    Raises:
        ConfigurationError: the model has another prior, posterior or likelihood.
        DataError: x has another shape or other values than the model's.
    """
    array = _array(x)
    coder = BitsBack(model)
    layout = layout_of(array, coder.shape, coder.levels)
    symbols = layout.symbols(array, coder.shape)
    if layout.array(symbols).tobytes() != array.tobytes():
        raise DataError("expected no negative zeros, which cannot be kept; add 0.0 to the data")
    largest = _largest_block(coder)
    identity = fingerprint(model)
    initial = _initial_words(identity, coder.taken * largest)
    stack = constriction.stream.stack.AnsCoder(initial, seal=True)
    done = 0
    for size in block_sizes(len(symbols), largest):
        if coder.push(stack, symbols[done : done + size]) < 2:
            raise DataError(
                "expected data like those the model was trained on, got some that would need more "
                "bits for their codes than there are; train the model on such data"
            )
        done += size
        if progress:
            progress(done, len(symbols))
    words = stack.get_compressed()
    kept = _common(initial, words)
    header = container.Header(
        identity,
        hashlib.sha256(array.tobytes()).digest(),
        layout,
        coder.grid.bits,
        largest,
        kept,
    )
    return Compressed(
        container.pack(header, words[kept:]),
        len(symbols),
        math.prod(coder.shape),
        WORD_BITS * (len(initial) - kept),
    )


def decompress(model: VAE, content: bytes, *, progress: Progress | None = None) -> np.ndarray:
    """The array that `compress` was given, with the same model: the same bytes, dtype and shape.

    Raises:
        StorageError: the bytes were damaged, or made with another model.
    """
    header, words = container.unpack(content)
    identity = fingerprint(model)
    if header.model != identity:
        raise StorageError(
            "expected the model that the file was compressed with (SHA-256 "
            f"{header.model.hex()}), got another ({identity.hex()})"
        )
    layout = header.layout
    coder = BitsBack(model, header.grid_bits)
    if not layout.fits(coder.shape) or header.block != _largest_block(coder):
        raise StorageError("the file's header does not fit the model; compress the data again")
    initial = _initial_words(identity, coder.taken * header.block)
    below = initial[: header.initial]
    stack = constriction.stream.stack.AnsCoder(np.concatenate([below, words]))
    symbols = np.empty((layout.shape[0], *coder.shape), np.uint8)
    start = len(symbols)
    for size in reversed(block_sizes(len(symbols), header.block)):
        block = coder.pop(stack, size)
        if block is None:
            raise _differs()
        start -= size
        symbols[start : start + size] = block
        if progress:
            progress(len(symbols) - start, len(symbols))
    array = layout.array(symbols)
    expected = constriction.stream.stack.AnsCoder(initial, seal=True).get_compressed()
    restored = np.array_equal(stack.get_compressed(), expected)
    if not restored or hashlib.sha256(array.tobytes()).digest() != header.data:
        raise _differs()
    return array


def as_data(model: VAE, x: np.ndarray | torch.Tensor) -> torch.Tensor:
    """What `compress` codes, in the units of the model's data, for `lowerbound.evaluate`.

    Raises:
        ConfigurationError, DataError: as `compress`.
    """
    coder, array = BitsBack(model), _array(x)
    symbols = layout_of(array, coder.shape, coder.levels).symbols(array, coder.shape)
    white = getattr(model.transform, "maximum", 1.0) / (coder.levels - 1)
    return torch.from_numpy(symbols) * white


def fingerprint(model: VAE) -> bytes:
    """SHA-256 of the model's description and weights."""
    digest = hashlib.sha256(json.dumps(describe(model), sort_keys=True).encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _array(x: np.ndarray | torch.Tensor) -> np.ndarray:
    return x.numpy(force=True) if isinstance(x, torch.Tensor) else np.asarray(x)


def _largest_block(coder: BitsBack) -> int:
    """Examples in a block, so that the probabilities of all their values fit in memory."""
    numbers = math.prod(coder.shape) * coder.levels
    return max(1, min(LARGEST_BLOCK, NUMBERS_PER_BLOCK // numbers))


def _initial_words(identity: bytes, codes: int) -> np.ndarray:
    """Random words that both sides can make, enough to take so many codes from."""
    content = hashlib.shake_256(identity).digest(container.WORD.itemsize * (SPARE_WORDS + codes))
    return np.frombuffer(content, container.WORD).astype(np.uint32)


def _common(a: np.ndarray, b: np.ndarray) -> int:
    """Length of the longest common beginning."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length


def _differs() -> StorageError:
    return StorageError(
        "what was decoded is not what was encoded: the networks' numbers differ on this machine "
        "from those on the one that compressed; decompress there"
    )
