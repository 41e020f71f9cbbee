"""The command ``sluice-train``, which also writes the gradients of its first step (of rank 0) to a file.

Run by tests: python first_gradients.py FILE ARGUMENTS...
"""

import os
import sys
from typing import Any

import torch
from safetensors.torch import save_file

from trainer.commands.train import main

FILE = sys.argv.pop(1)
STEP = torch.optim.AdamW.step


def step(self: torch.optim.Adam, closure: Any = None) -> Any:
    if os.environ.get("RANK", "0") == "0" and not os.path.exists(FILE):
        parameters = [p for group in self.param_groups for p in group["params"]]
        save_file({str(index): p.grad.clone() for index, p in enumerate(parameters) if p.grad is not None}, FILE)
    return STEP(self, closure)


torch.optim.AdamW.step = step  # type: ignore[method-assign]
main()
