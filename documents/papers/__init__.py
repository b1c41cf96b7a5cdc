"""P1–P4: the protocols of papers."""
