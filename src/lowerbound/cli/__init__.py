"""The command line.  Commands import what they need when they run, so that help is instant."""

from lowerbound.cli.app import app, run

__all__ = ["app", "run"]
