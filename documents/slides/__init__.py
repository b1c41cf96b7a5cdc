"""A1–A13: the CPSC 440 slides."""
