"""A run: a folder that holds what was trained on what, its checkpoint, its model and its figures.

run.json                 recipe, settings, data, command, versions
checkpoint.safetensors   the state of training
metrics.jsonl            a record per epoch
model.json, weights-….safetensors
evaluation.json          what `evaluate` measured
report/                  the page and its pictures
"""

from lowerbound.runs.description import DataSource, RunDescription
from lowerbound.runs.run import Run
from lowerbound.runs.train import train

__all__ = ["DataSource", "Run", "RunDescription", "train"]
