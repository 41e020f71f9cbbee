"""Curves that tell how rare a value is."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from flows.anomaly.curves import KNOTS, Curve, interpolated, log_shares, quantiles


@given(st.integers(0, 2**31), st.floats(0.1, 50), st.floats(-20, 20))
def test_a_table_reads_as_the_curve_does(seed: int, scale: float, start: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = start + scale * torch.randn(4000, generator=generator).abs()
    knots, heights = quantiles(values, 3.0), log_shares(values.device, 3.0)
    curve, asked = Curve(knots, heights, KNOTS // 3), start + scale * torch.linspace(-1, 9, 500)
    wanted = interpolated(knots, heights, asked, KNOTS // 3)
    assert torch.allclose(curve.at(asked), wanted.float(), atol=0.02, rtol=0.01)
    assert bool((curve.at(asked).diff() >= -1e-4).all())
