"""B1–B3: the CPSC 440 assignment."""

from documents.assignment import autoencoder, kl

__all__ = ["autoencoder", "kl"]
