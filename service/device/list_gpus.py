"""Print the GPUs that PyTorch can use, as JSON: `python -m service.device.list_gpus`."""

from __future__ import annotations

import json
import sys

import torch


def main() -> None:
    names: list[str] = []
    reason = "PyTorch finds no GPU"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    except (RuntimeError, AssertionError) as error:  # AssertionError: a build without CUDA
        reason = str(error).strip().splitlines()[0]
    json.dump({"names": names, "reason": "" if names else reason}, sys.stdout)


if __name__ == "__main__":
    main()
