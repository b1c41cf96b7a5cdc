"""PyTorch as most tutorials have it: a DataLoader over float tensors, Adam, loss.item()."""

import protocol
import torch
from torch_vae import VAE, train

told = protocol.task()
x = torch.from_numpy(protocol.images(told)).float() / 255
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x), batch_size=told.batch, shuffle=True
)
model = VAE(told)
optimizer = torch.optim.Adam(model.parameters(), lr=told.rate)
train(model, optimizer, lambda: (batch for (batch,) in loader), told.epochs, protocol.Reporter())
