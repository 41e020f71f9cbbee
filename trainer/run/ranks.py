"""The processes (ranks) of one run, as torchrun starts them. Each takes its share of every batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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

    def spread(self, data: bytes | None) -> bytes | None:
        """The leading rank's bytes, on every rank; None where it has none."""
        if self.count == 1:
            return data
        length = torch.tensor(-1 if data is None else len(data), device=self.device)
        distributed.broadcast(length, 0)
        if int(length) < 0:
            return None
        if data is None:
            received = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        else:
            received = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(self.device)
        distributed.broadcast(received, 0)
        return received.cpu().numpy().tobytes() if data is None else data

    def check(self, batch_size: int) -> None:
        """Raises TrainerError when a batch cannot be shared evenly: the mean of the ranks' means would be wrong."""
        if batch_size % self.count:
            raise TrainerError(
                f"a batch of {batch_size} cannot be shared evenly by {self.count} ranks; see --batch-size"
            )

    def leave(self) -> None:
        """End this process with success, if it is one of several, without the end of Python.

        PyTorch 2.13 leaves the threads of a group running where a DistributedDataParallel was made. One that lets go
        of its last tensor while Python ends aborts the process. torchrun takes that for a failed rank, and stops the
        rank that still publishes the model.
        """
        if self.count > 1:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the ranks that torchrun started, or be the only rank. On CUDA each rank gets a device of its own.

    Raises TrainerError when another rank dies. torchrun then starts all of them again, as often as it was told to.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    store = _store_of_this_start()
    known = {} if store is None else {"store": store, "rank": int(os.environ["RANK"]), "world_size": count}
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", **known)
    try:
        yield Ranks(device, distributed.get_rank(), count)
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        rank = distributed.get_rank()
        raise TrainerError(
            f"rank {rank} of {count}: the connection to another rank broke, which ends this one"
        ) from error
    finally:
        distributed.destroy_process_group()


UNSHARED = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"
"""What torchrun needs in its environment to start ranks of several machines again."""


def restarts_can_hang() -> bool:
    """Whether torchrun may start ranks of several machines again, and would hand them the addresses of dead ones.

    It keeps one store of addresses for all its starts, unless its environment says otherwise (seen with PyTorch 2.13).
    """
    return _keeps_its_store() and not _alone() and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"


def _store_of_this_start() -> Any:
    """Of ranks of one machine, a part of torchrun's store for each start; None where torchrun's own way will do."""
    if not _keeps_its_store() or not _alone():
        return None
    parts: Any = distributed  # whose stubs lack its stores
    store = parts.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return parts.PrefixStore(f"start {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)


def _keeps_its_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _alone() -> bool:
    """Whether all ranks are on one machine, whose agent counts all starts."""
    return os.environ.get("GROUP_WORLD_SIZE") == "1"
