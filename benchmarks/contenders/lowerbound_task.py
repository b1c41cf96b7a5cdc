"""The task as lowerbound's recipes define it."""

import protocol


def recipe(told):
    """Recipe and settings."""
    settings = {
        "latent_dim": told.latent,
        "hidden": told.hidden,
        "likelihood": "Bernoulli",
        "epochs": told.epochs,
        "batch_size": told.batch,
        "learning_rate": told.rate,
        "schedule": told.schedule,
        "warmup_epochs": told.warmup,
        "ema": told.average,
        "precision": told.precision,
        "compile": {"true": True, "false": False}.get(told.compile, told.compile),
    }
    if not told.channels:
        return "mlp", settings
    convolutions = {
        "channels": told.channels,
        "kernel_size": protocol.KERNEL,
        "stride": 1,
        "padding": 0,
    }
    return "convolutional", settings | convolutions
