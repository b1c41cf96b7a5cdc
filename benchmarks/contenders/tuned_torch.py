"""PyTorch tuned by hand: batches indexed from uint8 tensors, fused Adam, no DataLoader."""

import protocol
import torch
from torch_vae import VAE, train

told = protocol.task()
x = torch.from_numpy(protocol.images(told))


def batches():
    for indices in torch.randperm(len(x)).split(told.batch):
        yield x[indices].float() / 255


model = VAE(told)
optimizer = torch.optim.Adam(model.parameters(), lr=told.rate, fused=True)
train(model, optimizer, batches, told.epochs, protocol.Reporter())
