"""Data sets: known ones by name, and the user's own files, arrays and data frames.

>>> from lowerbound.data import load
>>> splits = load("digits", validation=100)
>>> print(splits.summary())
digits: 1,337 images of 1×8×8, grey levels 0–255, 10 classes; 100 for validation; 360 for test
"""

from lowerbound.data.assembly import as_dataset, from_arrays
from lowerbound.data.batches import Batch
from lowerbound.data.dataset import Data, Dataset
from lowerbound.data.division import split
from lowerbound.data.formats import load, read, read_array
from lowerbound.data.known import cache_folder, known
from lowerbound.data.schema import Field, Kind
from lowerbound.data.sources import Attempt, Fetched, get, status
from lowerbound.data.splits import Splits
from lowerbound.data.stored import Stored

__all__ = [
    "Attempt",
    "Batch",
    "Data",
    "Dataset",
    "Fetched",
    "Field",
    "Kind",
    "Splits",
    "Stored",
    "as_dataset",
    "cache_folder",
    "from_arrays",
    "get",
    "known",
    "load",
    "read",
    "read_array",
    "split",
    "status",
]
