"""Training: one loop, its settings, checkpoints and callbacks."""

from lowerbound.training.callbacks import Callback, ProgressBar, Record, TensorBoard
from lowerbound.training.checkpoint import CHECKPOINT_FILE
from lowerbound.training.claim import LOCK_FILE, claimed
from lowerbound.training.history import METRICS_FILE, Course, criterion, read_history
from lowerbound.training.loop import fit
from lowerbound.training.settings import Training
from lowerbound.training.sghmc import SGHMC

__all__ = [
    "CHECKPOINT_FILE",
    "LOCK_FILE",
    "METRICS_FILE",
    "SGHMC",
    "Callback",
    "Course",
    "ProgressBar",
    "Record",
    "TensorBoard",
    "Training",
    "claimed",
    "criterion",
    "fit",
    "read_history",
]
