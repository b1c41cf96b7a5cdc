"""Data sets: known ones by name, and the user's own files.

>>> from lowerbound.data import load
>>> splits = load("digits", validation=100)
>>> print(splits.summary())
digits: 1,337 images of 1×8×8, grey levels 0–255, 10 classes; 100 for validation; 360 for test
"""

from lowerbound.data.dataset import Dataset, Splits, from_arrays
from lowerbound.data.inference import Kind
from lowerbound.data.known import known
from lowerbound.data.loading import is_large, load, read, read_array, split
from lowerbound.data.sources import Attempt, Fetched, cache_folder, get, status
from lowerbound.data.stored import Stored, TrainingSet

__all__ = [
    "Attempt",
    "Dataset",
    "Fetched",
    "Kind",
    "Splits",
    "Stored",
    "TrainingSet",
    "cache_folder",
    "from_arrays",
    "get",
    "is_large",
    "known",
    "load",
    "read",
    "read_array",
    "split",
    "status",
]
