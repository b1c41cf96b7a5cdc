"""The processes of one training run: one by default, several under ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from lowerbound.errors import ConfigurationError

TORCHRUN = ("RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Processes:
    """This process's ``rank`` among ``world`` processes."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Return once every process is here."""
        if self.world > 1:
            dist.barrier()


def _number(name: str, default: int) -> int:
    """A whole number in the environment."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or (name == "WORLD_SIZE" and int(text) < 1):
        raise ConfigurationError(
            f"expected a whole number in the environment's {name}, got {text!r}; unset it to train "
            "in one process"
        )
    return int(text)


def local_rank() -> int:
    """This process's number on its machine, which is that of its GPU."""
    return _number("LOCAL_RANK", 0)


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The group that torchrun's environment describes, set up for the ``with``.

    Raises:
        ConfigurationError: the environment describes a part of a group.
    """
    world = _number("WORLD_SIZE", 1)
    if world == 1:
        yield Processes()
        return
    already = dist.is_initialized()
    if not already:
        missing = [name for name in TORCHRUN if name not in os.environ]
        if missing or _number("RANK", 0) >= world:
            raise ConfigurationError(
                f"expected {' and '.join(missing) or 'a RANK below WORLD_SIZE'} in the "
                f"environment, as WORLD_SIZE={world} is there; start with torchrun, or unset "
                "WORLD_SIZE to train in one process"
            )
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), world)
    finally:
        if not already:
            dist.destroy_process_group()
