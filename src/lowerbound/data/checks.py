"""The contents of known files: unpacked within bounds, used only if their SHA-256 is right."""

from __future__ import annotations

import hashlib
import zlib

from lowerbound.data.idx import GZIP
from lowerbound.data.known import File

Files = dict[str, bytes]
"""Decoded contents by file name."""


class Unusable(Exception):
    """Why a source does not have the files; never leaves this package."""


class Damaged(Unusable):
    """A source has them, with other contents."""


def packed_limit(file: File) -> int:
    """The most bytes the file can take, packed or not."""
    return file.size + 2**20


def decode(data: bytes, file: File) -> bytes:
    """The file's decoded contents, from ``data`` plain or gzip.

    Raises:
        Damaged: they are not what the file should hold.
    """
    if data[:2] == GZIP:
        try:
            data = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, file.size + 1)
        except zlib.error as error:
            raise Damaged(f"{file.name}.gz: expected a whole gzip file, got {error}") from None
    actual = hashlib.sha256(data).hexdigest()
    if actual != file.sha256:
        raise Damaged(
            f"{file.name}: expected {file.size:,} bytes of SHA-256 {file.sha256}, "
            f"got {len(data):,} of {actual}"
        )
    return data
