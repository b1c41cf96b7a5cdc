"""A1–A11: the CPSC 440 slides."""

from documents.slides import autoencoders, denoising, linear, posterior, uses

__all__ = ["autoencoders", "denoising", "linear", "posterior", "uses"]
