"""Arrays in, figures out: every picture that lowerbound shows, in one look.

Each function takes numpy arrays and returns a :class:`matplotlib.figure.Figure`; none of them
knows of models or data sets, nor touches pyplot's state.  :func:`save` writes one as a PNG.
"""

from lowerbound.extras import needs

needs("matplotlib", "plots")
needs("PIL", "plots")

from lowerbound.plots.images import (
    class_grid,
    image_grid,
    manifold,
    reconstructions,
    samples,
    traversals,
)
from lowerbound.plots.latent import (
    gaussian_draws,
    kl_per_dimension,
    latent_histogram,
    latent_scatter,
)
from lowerbound.plots.lines import Row, comparison, curves, learning_curves
from lowerbound.plots.output import png_bytes, save
from lowerbound.plots.rates import rate_distortion
from lowerbound.plots.scores import ranked_bars, score_histograms
from lowerbound.plots.style import DPI
from lowerbound.plots.tables import marginals, profile_traversals, scatter_reconstruction

__all__ = [
    "DPI",
    "Row",
    "class_grid",
    "comparison",
    "curves",
    "gaussian_draws",
    "image_grid",
    "kl_per_dimension",
    "latent_histogram",
    "latent_scatter",
    "learning_curves",
    "manifold",
    "marginals",
    "png_bytes",
    "profile_traversals",
    "ranked_bars",
    "rate_distortion",
    "reconstructions",
    "samples",
    "save",
    "scatter_reconstruction",
    "score_histograms",
    "traversals",
]
