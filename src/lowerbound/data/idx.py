"""IDX files, plain or gzip: the format of MNIST.

Two zero bytes, one byte of type, one of rank, the sizes as big-endian 32-bit numbers, the values.
Source: Yann LeCun, Corinna Cortes, Christopher Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lowerbound.data.conversion import check_array
from lowerbound.errors import DataError, brief

Read = Callable[[int], bytes]
GZIP = b"\x1f\x8b"
TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
# No deflate stream expands more than this: RFC 1951 codes 258 bytes in two bits at best.
MOST_EXPANSION = 1032
PIECE = 2**20


def is_idx_name(name: str) -> bool:
    """Whether a file of this name is read as IDX.

    >>> [is_idx_name(n) for n in ("t10k-images-idx3-ubyte.gz", "train.idx3", "a.idx", "idx.csv")]
    [True, True, True, False]
    """
    return re.search(r"(\.idx\d?|[-.]idx\d-\w+|-ubyte)(\.gz)?$", name.lower()) is not None


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file.

    Raises:
        DataError: not an IDX file, or one that is truncated, too long, or larger than memory.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
            file.seek(0)
            most = path.stat().st_size * (MOST_EXPANSION if packed else 1)
            return parse(gzip.GzipFile(fileobj=file).read if packed else file.read, most, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: expected a whole gzip file, got one that is truncated or damaged "
            f"({brief(error)}); get it again"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse(read: Read, most: int, path: Path) -> np.ndarray:
    """The array that ``read`` gives the bytes of, ``most`` at most; errors name ``path``."""
    magic = read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= 8:
        raise DataError(
            f"{path}: expected an IDX file, which begins with 00 00, a type 08–0e and a rank, "
            f"got {magic.hex(' ') or 'an empty file'}; check what the file is"
        )
    dtype = np.dtype(TYPES[magic[2]])
    shape = tuple(int(size) for size in np.frombuffer(_exactly(read, 4 * magic[3], path), ">u4"))
    size = math.prod(shape) * dtype.itemsize
    if size > most:
        raise DataError(
            f"{path}: expected {size:,} bytes of values for its shape {shape}, got a file that "
            f"cannot hold more than {most:,}; it is truncated or damaged, get it again"
        )
    check_array(math.prod(shape), dtype, str(path))
    values = np.empty(math.prod(shape), dtype)
    if (got := read_into(values, read)) < size:
        raise _truncated(path, size, got)
    if read(1):
        raise DataError(
            f"{path}: expected the file to end after its {size:,} bytes of values for shape "
            f"{shape}, got more; check what wrote it"
        )
    if not values.dtype.isnative:
        values = values.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return values.reshape(shape)


def read_into(values: np.ndarray, read: Read) -> int:
    """Fill the memory of an array, piece by piece; the bytes that there were."""
    memory, done = memoryview(values.view(np.uint8).data), 0
    while piece := read(min(PIECE, len(memory) - done)):
        memory[done : done + len(piece)] = piece
        done += len(piece)
    return done


def _exactly(read: Read, size: int, path: Path) -> bytes:
    data = read(size)
    if len(data) < size:
        raise _truncated(path, size, len(data))
    return data


def _truncated(path: Path, size: int, got: int) -> DataError:
    return DataError(
        f"{path}: expected {size:,} more bytes, got {got:,}; the file is truncated, get it again"
    )
