"""The command ``sluice-train``, whose rank 1 kills itself with SIGKILL in a step of the first start.

Run by tests: torchrun killed_rank.py STEP ARGUMENTS...
"""

import os
import signal
import sys

from torch import Tensor

from trainer.commands.train import main
from trainer.run.step import TrainingStep

STEP = int(sys.argv.pop(1))
CALL = TrainingStep.__call__


def call(self: TrainingStep, rows: Tensor, keys: Tensor, step: int, rate: float) -> None:
    if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"], step) == ("1", "0", STEP):
        os.kill(os.getpid(), signal.SIGKILL)
    CALL(self, rows, keys, step, rate)


TrainingStep.__call__ = call  # type: ignore[method-assign]
main()
