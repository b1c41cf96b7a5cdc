"""A user's own loss, KL and draws, compared with what they should be."""

from lowerbound.diagnosis.functions.draws import diagnose_draws
from lowerbound.diagnosis.functions.loss import diagnose_kl, diagnose_loss

__all__ = ["diagnose_draws", "diagnose_kl", "diagnose_loss"]
