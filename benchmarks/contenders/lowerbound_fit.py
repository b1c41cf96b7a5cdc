"""lowerbound's `fit`, on its own: no folder, no progress bar, no validation but the last."""

import lowerbound as lb  # before torch, which reads how threads wait when it is loaded

# isort: split
import numpy as np
import protocol
import torch
from lowerbound_task import recipe

from lowerbound.recipes import prepare
from lowerbound.training import Callback

told = protocol.task()
data = lb.data.Dataset(torch.from_numpy(np.load(told.data)))
torch.manual_seed(0)
experiment = prepare(recipe(told)[0], data, recipe(told)[1])
model = experiment.model
protocol.check_parameters(told, sum(p.numel() for p in model.parameters()))


class Report(Callback):
    def start(self, model, epochs, steps, step):
        self.report = protocol.Reporter()

    def epoch(self, model, record):
        self.report(len(data), -record["train"]["bound"])


timed = Report()
lb.fit(model, data, None, experiment.objective, experiment.training, callbacks=[timed])
if told.validation:
    judged = lb.evaluate(model, torch.from_numpy(np.load(told.validation)), samples=1)
    timed.report.validated(-judged.elbo.value)
