"""The bench: what the systems of all documents are trained, measured and shown with."""

from documents.bench.bench import NATS, Bench, cost
from documents.bench.models import PIXELS, SHAPE, dense
from documents.bench.result import Setting
from documents.bench.system import system

__all__ = ["NATS", "PIXELS", "SHAPE", "Bench", "Setting", "cost", "dense", "system"]
