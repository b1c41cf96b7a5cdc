"""B1–B3: the CPSC 440 assignment."""
