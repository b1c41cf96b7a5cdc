"""pythae's VAE with the same layers and its own trainer."""

import logging
import tempfile

import protocol
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch_vae import networks, validated

logging.disable(logging.CRITICAL)
told = protocol.task()
torch.manual_seed(0)
x = torch.from_numpy(protocol.images(told.data)).float().div(255).view(-1, 1, 28, 28)
encoder, decoder = networks(told)


class Encoder(BaseEncoder):
    def __init__(self):
        super().__init__()
        self.net = encoder

    def forward(self, x):
        mean, log_variance = self.net(x.flatten(1)).chunk(2, 1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__()
        self.net = decoder

    def forward(self, z):
        return ModelOutput(reconstruction=self.net(z).sigmoid().view(-1, 1, 28, 28))


class Report(TrainingCallback):
    def on_train_begin(self, training_config, **kwargs):
        self.report = protocol.Reporter()

    def on_log(self, training_config, logs, **kwargs):
        if "train_epoch_loss" in logs:
            self.report(len(x), logs["train_epoch_loss"])


config = VAEConfig(input_dim=(1, 28, 28), latent_dim=told.latent, reconstruction_loss="bce")
model = VAE(config, Encoder(), Decoder())
protocol.check_parameters(told, sum(p.numel() for p in model.parameters()))
# Its trainer sets the rate once an epoch, and averages no weights.
falling = {"scheduler_cls": "CosineAnnealingLR", "scheduler_params": {"T_max": told.epochs}}
timed = Report()
with tempfile.TemporaryDirectory() as folder:
    training = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=told.epochs,
        learning_rate=told.rate,
        per_device_train_batch_size=told.batch,
        optimizer_cls="Adam",
        **(falling if told.schedule == "cosine" else {}),
    )
    pipeline = TrainingPipeline(model, training)
    pipeline(train_data=x, callbacks=[timed])
    if told.validation:
        trained = pipeline.trainer.model.eval()
        loss = validated(told, lambda y: trained({"data": y.view(-1, 1, 28, 28)}).loss * len(y))
        timed.report.validated(loss)
