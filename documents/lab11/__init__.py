"""C1–C6: lab 11."""

from documents.lab11 import layers, systems

__all__ = ["layers", "systems"]
