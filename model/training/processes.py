"""Training by several processes, on several GPUs or machines, as PyTorch's ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tremorscope.model.errors import RecipeFault
from tremorscope.model.pairs.pairs import Pairs


@dataclass(frozen=True)
class Share:
    """One of several processes, each of which trains on its part of every batch."""

    rank: int = 0
    processes: int = 1

    @property
    def first(self) -> bool:
        """True for the process that validates, writes and shows progress."""
        return self.rank == 0

    def part(self, pairs: Pairs) -> Pairs:
        """This process's part of a batch that all processes have drawn alike."""
        return pairs if self.processes == 1 else pairs.select(slice(self.rank, None, self.processes))

    def spread(self, objective: nn.Module, device: torch.device) -> nn.Module:
        """The same objective, with gradients that are means over all processes."""
        if self.processes == 1:
            return objective
        own = [device] if device.type == "cuda" else None
        # Buffers are constants, alike in all processes; to send them would change what a step has yet to differentiate.
        return DistributedDataParallel(objective, device_ids=own, broadcast_buffers=False)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a figure over all processes."""
        if self.processes > 1:
            distributed.all_reduce(value)
            value = value / self.processes
        return value


@contextmanager
def shared(batch: int, device: torch.device) -> Iterator[Share]:
    """This process's share, by the environment that torchrun sets; the only one without it.

    Raises:
        RecipeFault: the batch is not a multiple of the number of processes.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        yield Share()
        return
    if batch % processes:
        raise RecipeFault(
            f"schedule.batch: {batch} pairs for {processes} processes",
            remedy="make it a multiple of the number of processes",
        )
    options: dict[str, Any] = {"backend": "nccl" if device.type == "cuda" else "gloo"}
    distributed.init_process_group(**options)
    try:
        yield Share(distributed.get_rank(), processes)
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
