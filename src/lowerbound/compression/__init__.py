"""Lossless compression with a VAE: the bound as the size of a file."""

from lowerbound.compression.codec import Compressed, as_data, compress, decompress, fingerprint

__all__ = ["Compressed", "as_data", "compress", "decompress", "fingerprint"]
