r"""The file: a header, what holds the data, and a checksum of both.

=========  ======  ==========================================================================
offset     bytes
=========  ======  ==========================================================================
0          7       ``LBVAE\\r\\n``
7          1       what holds the data: 1 the stack, 2 DEFLATE
8          32      SHA-256 of the model's description and weights
40         32      SHA-256 of the array's bytes
72         4       dtype of the array, as NumPy writes it, padded with zero bytes
76         1       value of a white pixel in binary data: 1 or 255
77         1       bits of the latent grid
78         2       examples in a full block
80         4       initial words that lie below those stored
84         1       rank r of the array
85         8 r     its shape
…                  the stack, 32-bit words, the top last; or the array's bytes (RFC 1950)
−32        32      SHA-256 of everything before it
=========  ======  ==========================================================================

All numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import math
import struct
from typing import NamedTuple

import numpy as np

from lowerbound.compression.layout import DTYPES, Layout
from lowerbound.data.conversion import check_memory
from lowerbound.errors import StorageError

MAGIC = b"LBVAE\r\n"
STACK, DEFLATE = 1, 2
FIXED = struct.Struct("<7sB32s32s4sBBHIB")
DIGEST = 32
WORD = np.dtype("<u4")
GRID_BITS = range(1, 13)
RANKS = range(2, 5)


class Header(NamedTuple):
    """What the decoder must know."""

    model: bytes
    data: bytes
    layout: Layout
    grid_bits: int
    block: int
    initial: int


def pack(header: Header, payload: np.ndarray | bytes) -> bytes:
    """The file's bytes, of its header and the stack's words (w,), or the deflated array."""
    kind = DEFLATE if isinstance(payload, bytes) else STACK
    payload = payload if isinstance(payload, bytes) else payload.astype(WORD).tobytes()
    model, data, (dtype, shape, white), *sizes = header
    name = dtype.encode()
    content = FIXED.pack(MAGIC, kind, model, data, name, white, *sizes, len(shape))
    content += struct.pack(f"<{len(shape)}Q", *shape) + payload
    return content + hashlib.sha256(content).digest()


def unpack(content: bytes) -> tuple[Header, np.ndarray | bytes]:
    """The header, and the stack's words, uint32 of shape (w,), or the deflated array.

    Raises:
        StorageError: another kind of file, a newer one, or one that was damaged or cut off.
        DataError: the data would not fit in memory.
    """
    if not content.startswith(MAGIC):
        raise StorageError("expected a file that lowerbound compress made, got another")
    body, digest = content[:-DIGEST], content[-DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise StorageError(
            "the file is damaged or incomplete: its checksum does not match; get it again"
        )
    try:
        _, kind, model, data, name, white, *sizes, rank = FIXED.unpack_from(body)
        if kind not in (STACK, DEFLATE):
            raise StorageError(
                f"expected format {STACK} or {DEFLATE} of compressed files, got {kind}; upgrade "
                "lowerbound"
            )
        shape = struct.unpack_from(f"<{rank}Q", body, FIXED.size)
        payload = body[FIXED.size + 8 * rank :]
        words = np.frombuffer(payload if kind == STACK else b"", WORD).astype(np.uint32)
        layout = Layout(name.rstrip(b"\0").decode("ascii"), shape, white)
        header = Header(model, data, layout, *sizes)
        known = layout.dtype in DTYPES and white in (1, 255) and header.grid_bits in GRID_BITS
        filled = any(words[-1:]) or kind == DEFLATE
        if not (known and header.block and rank in RANKS and all(shape) and filled):
            raise ValueError
    except (struct.error, ValueError):
        raise StorageError("the file's header makes no sense; compress the data again") from None
    check_memory(math.prod(shape) * np.dtype(layout.dtype).itemsize, "the file")
    return header, words if kind == STACK else payload
