"""E1–E7: the VAE problem set."""
