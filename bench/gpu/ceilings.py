"""What the card can do at most: matrix products in three precisions, and copies within its memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench.gpu.figures import Figures
from bench.gpu.timing import seconds


def measure(scale: Figures) -> Iterator[dict[str, object]]:
    """Rates in TFLOP/s of large products of random matrices, and in GB/s (read and written) of a large copy."""
    device, side = scale.device, 512 if scale.small else 8192
    for name, dtype, tf32 in (
        ("bfloat16", torch.bfloat16, False),
        ("tf32", torch.float32, True),
        ("float32", torch.float32, False),
    ):
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        try:
            took = seconds(lambda a=a, b=b: a @ b, device)  # type: ignore[misc]  # mypy infers no lambda with defaults
        finally:
            torch.set_float32_matmul_precision(before)
        yield {"what": f"product in {name}", "tflops": 2 * side**3 / took / 1e12}
    source = torch.randn(2**20 if scale.small else 2**30, device=device)
    target = torch.empty_like(source)
    took = seconds(lambda: target.copy_(source), device)
    yield {"what": "copy", "gigabytes": 2 * source.numel() * source.element_size() / took / 1e9}
