"""Convolutional networks on patches of two photographs, at equal numbers of multiplications."""

from __future__ import annotations

import argparse
import copy
import time
from typing import Any

import harness
import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import nn

import lowerbound as lb
from lowerbound.networks.output import Layer

SIDE, SPLIT, START, SEEDS, MULTIPLICATIONS = 64, 448, 1000, 2, 1.8e11
MODEL = {"likelihood": "Gaussian", "likelihood.sigma": "optimal", "latent_dim": 64}
TRAINING = {"batch_size": 32, "epochs": 1, "schedule": "cosine"}
NETWORKS: dict[str, dict[str, Any]] = {
    "32 and 64 maps (the default)": {},
    "… and a hidden layer of 256": {"hidden": 256},
    "… normalised": {"normalisation": "layer"},
    "… normalised, with residual blocks": {"normalisation": "layer", "residual": 1},
}


@torch.no_grad()
def products(model: lb.VAE, x: torch.Tensor) -> int:
    """Multiplications by weights for one example x, (1, *shape)."""
    found: list[int] = []

    def count(layer: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        maps = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        found.append(layer.weight.numel() * maps[0, 0].numel())

    model = copy.deepcopy(model)
    for layer in (module for module in model.modules() if isinstance(module, Layer)):
        layer.register_forward_hook(count)
    model.draws(model.prepare(x)[0])
    return sum(found)


def measured(settings: dict[str, Any], multiplications: float, seed: int) -> dict[str, float]:
    """Held-out figures after so many multiplications in forward passes of training."""
    photographs = np.stack(load_sample_images().images)
    places = np.lib.stride_tricks.sliding_window_view(photographs, (SIDE, SIDE), (1, 2))
    left = places[:, :, : SPLIT - SIDE + 1]
    test = torch.tensor(places[:, ::SIDE, SPLIT::SIDE]).flatten(0, 2)
    rng = np.random.default_rng(seed)
    order = np.stack([rng.integers(n, size=int(multiplications / 1e7)) for n in left.shape[:3]])
    torch.manual_seed(seed)
    chosen = MODEL | TRAINING | {"seed": seed} | settings
    made = lb.recipes.prepare("convolutional", left[*order[:, :START]], chosen)
    x = left[*order[:, : int(multiplications / products(made.model, test[:1]))]]
    begun = time.process_time()
    lb.fit(made.model, x, None, made.objective, made.training, callbacks=[])
    seconds = time.process_time() - begun
    error = (made.model.reconstruct(test).float() - test).div(255).square().mean().item()
    bits = lb.evaluate(made.model, test, samples=1).bits_per_dimension.value  # type: ignore
    return {"patches": len(x), "seconds": seconds, "squared_error": error, "bits": bits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="check that it runs, on few patches")
    quick = parser.parse_args().quick
    found: dict[str, list[dict[str, float]]] = {name: [] for name in NETWORKS}
    for seed in range(1 if quick else SEEDS):
        for name, settings in NETWORKS.items():
            row = measured(settings, 1e9 if quick else MULTIPLICATIONS, seed)
            found[name].append(row)
            print(f"seed {seed}: {name:35}", *(f"{k} {v:,.4g}" for k, v in row.items()), flush=True)
    if not quick:
        values = {"command": harness.command(), "multiplications": MULTIPLICATIONS, "rows": found}
        print(harness.write("photographs", values | harness.machine()))


if __name__ == "__main__":
    main()
