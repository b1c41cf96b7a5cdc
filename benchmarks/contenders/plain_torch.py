"""PyTorch as in most tutorials: a DataLoader over float tensors, Adam, loss.item()."""

import protocol
import torch
from torch_vae import train

told = protocol.task()
x = torch.from_numpy(protocol.images(told.data)).float() / 255
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x), batch_size=told.batch, shuffle=True
)
train(told, lambda: (batch for (batch,) in loader), len(loader))
