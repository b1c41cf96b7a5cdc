"""E1–E7: the VAE problem set."""

from documents.problem_set import bound, systems

__all__ = ["bound", "systems"]
