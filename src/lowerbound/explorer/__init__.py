"""A page in the browser that shows a model's latent space and decodes what is pointed at."""

from lowerbound.explorer.app import application
from lowerbound.explorer.server import Server
from lowerbound.explorer.space import Space

__all__ = ["Server", "Space", "application"]
