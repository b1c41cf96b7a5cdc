"""What `lowerbound train` does: validation, metrics, checkpoints and a bar included."""

import tempfile
from pathlib import Path

from lowerbound import runs

# isort: split
import protocol
from lowerbound_task import recipe

from lowerbound.training import Callback, ProgressBar

told = protocol.task()


class Report(Callback):
    """Called when an epoch is trained, validated and saved."""

    def start(self, model, epochs, steps, step):
        protocol.check_parameters(told, sum(p.numel() for p in model.parameters()))
        self.report = protocol.Reporter()

    def epoch(self, model, record):
        trained = record["step"] // record["epoch"] * told.batch
        self.report(min(trained, self.images), -record["train"]["bound"])


with tempfile.TemporaryDirectory() as folder:
    source = runs.DataSource(source=str(Path(told.data).absolute()), validation=0.1, test=100)
    name, settings = recipe(told)
    run = runs.RunDescription(recipe=name, settings=settings, source=source, command="benchmark")
    report = Report()
    report.images = len(source.load(0).train)
    runs.train(run, Path(folder) / "run", callbacks=[ProgressBar(), report])
