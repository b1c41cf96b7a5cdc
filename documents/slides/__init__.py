"""A1–A11: the CPSC 440 slides."""
