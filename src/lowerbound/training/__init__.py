"""Training: one loop, its settings, checkpoints and callbacks."""

from lowerbound.training.callbacks import Callback, ProgressBar, Record, TensorBoard
from lowerbound.training.checkpoint import CHECKPOINT_FILE
from lowerbound.training.loop import fit
from lowerbound.training.settings import Training
from lowerbound.training.state import METRICS_FILE, criterion, read_history

__all__ = [
    "CHECKPOINT_FILE",
    "METRICS_FILE",
    "Callback",
    "ProgressBar",
    "Record",
    "TensorBoard",
    "Training",
    "criterion",
    "fit",
    "read_history",
]
