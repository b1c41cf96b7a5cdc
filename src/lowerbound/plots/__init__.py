"""Arrays in, figures out: every picture that lowerbound shows, in one look.

Each function takes numpy arrays and returns a :class:`matplotlib.figure.Figure` of the page's
width, without a heading, which the page gives it; none of them knows of models or data sets, nor
touches pyplot's state.  :func:`save` writes one as a PNG.

Arrays whose shapes do not fit each other raise :class:`~lowerbound.errors.ShapeError`; values that
are not finite, or otherwise cannot be drawn, :class:`~lowerbound.errors.ConfigurationError`.
"""

from lowerbound.extras import needs

needs("matplotlib", "plots")
needs("PIL", "plots")

from lowerbound.plots.bars import column_bars, kl_per_dimension, ranked_bars, score_histograms
from lowerbound.plots.columns import agreement, profile_traversals, scatter_reconstruction
from lowerbound.plots.curves import curves, learning_curves, rate_distortion
from lowerbound.plots.images import image_grid, manifold, reconstructions
from lowerbound.plots.latent import (
    gaussian_draws,
    latent_histogram,
    latent_marginals,
    latent_pairs,
    latent_scatter,
)
from lowerbound.plots.marginals import marginals
from lowerbound.plots.pairs import associations, column_pairs
from lowerbound.plots.rolls import piano_rolls
from lowerbound.plots.style import DPI, png_bytes, save

__all__ = [
    "DPI",
    "agreement",
    "associations",
    "column_bars",
    "column_pairs",
    "curves",
    "gaussian_draws",
    "image_grid",
    "kl_per_dimension",
    "latent_histogram",
    "latent_marginals",
    "latent_pairs",
    "latent_scatter",
    "learning_curves",
    "manifold",
    "marginals",
    "piano_rolls",
    "png_bytes",
    "profile_traversals",
    "ranked_bars",
    "rate_distortion",
    "reconstructions",
    "save",
    "scatter_reconstruction",
    "score_histograms",
]
