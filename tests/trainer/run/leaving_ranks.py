"""Ranks that end while a group that outlives them still averages tensors.

Run by tests: torchrun leaving_ranks.py
"""

import sys

import torch
from torch import distributed

from trainer.run.ranks import joined

sys.setswitchinterval(100)  # seconds: the threads of the group wait for Python until its end
with joined(torch.device("cpu")) as ranks:
    kept = distributed.group.WORLD  # as a DistributedDataParallel does
    distributed.barrier()  # a rank that ended before the other has connected to it would be missed
    for _ in range(50):
        distributed.all_reduce(torch.ones(100_000), async_op=True)
ranks.leave()
