"""The processes (ranks) of one run, as torchrun starts them. Each takes its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.errors import TrainerError


@dataclass(frozen=True)
class Ranks:
    """This process among those of a run: its device, its number, and how many there are."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes files and talks to the user."""
        return self.rank == 0

    def wrap(self, flow: nn.Module) -> nn.Module:
        """The module to call in a training step, whose gradients are averaged over all ranks."""
        if self.count == 1:
            return flow
        devices = [self.device.index] if self.device.type == "cuda" else None
        parallel = DistributedDataParallel(flow, device_ids=devices)
        parallel.broadcast_buffers = False  # the buffers of a flow do not change while it trains
        return parallel

    def share(self, items: Tensor) -> Tensor:
        """This rank's share of items that all ranks have: every ``count``-th."""
        return items[self.rank :: self.count]

    def sum(self, value: Tensor) -> Tensor:
        """The sum of all ranks' values, on every rank."""
        if self.count > 1:
            value = value.detach().to(self.device, copy=True)
            distributed.all_reduce(value)
        return value

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank. All ranks get the same answer."""
        return flag if self.count == 1 else bool(self.sum(torch.tensor(int(flag))).item())

    def check(self, batch_size: int) -> None:
        """Raises TrainerError when a batch cannot be shared evenly: the mean of the ranks' means would be wrong."""
        if batch_size % self.count:
            raise TrainerError(
                f"a batch of {batch_size} cannot be shared evenly by {self.count} ranks; see --batch-size"
            )


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the ranks that torchrun started, or be the only rank. On CUDA each rank gets a device of its own."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(device, distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()
