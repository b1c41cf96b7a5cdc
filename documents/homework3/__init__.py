"""D1–D4: homework 3."""
