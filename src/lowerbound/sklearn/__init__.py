"""VAEs as estimators of scikit-learn: codes, densities, outliers and missing cells of tables.

X is an array of numbers (n, D), or a frame of pandas, polars or Arrow whose columns may be of
several kinds; NaN and nulls are missing cells.  `VAETransformer.inverse_transform`, the samples of
`VAEDensity` and what `VAEImputer` fills in come as X of `fit` did.
"""

from lowerbound.extras import needs

needs("sklearn", "learn")

from lowerbound.sklearn.codes import VAETransformer
from lowerbound.sklearn.densities import VAEDensity, VAEOutlierDetector
from lowerbound.sklearn.imputer import VAEImputer

__all__ = ["VAEDensity", "VAEImputer", "VAEOutlierDetector", "VAETransformer"]
