"""The measure of what a linear NICE reaches: scales at their best, and what the first step of couplings promises."""

import torch

import flows
from bench.linear_nice import first_order, fit_scales, linear_flow


def heavy_tailed(count: int, seed: int) -> torch.Tensor:
    """Latents (count, 6), independent, of a density with heavier tails than the prior's."""
    generator = torch.Generator().manual_seed(seed)
    found: torch.Tensor = torch.distributions.Laplace(0.0, 1.0).icdf(
        torch.rand(count, 6, generator=generator).clamp(1e-6, 1 - 1e-6)
    )
    return found


def test_no_other_scales_are_likelier() -> None:
    pictures = torch.randint(0, 256, (60, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    flow = linear_flow("robust", (4, 4), pictures)
    x = flow.to_continuous(pictures)
    with torch.no_grad():
        before = flow.log_prob(x).mean()
        fit_scales(flow, flow.encode(x)[0])
        best = flow.log_prob(x).mean()
        (scaling,) = (step for step in flow.modules() if isinstance(step, flows.DiagonalScaling))
        for change in (-0.05, 0.05):
            scaling.log_scale.add_(change)
            assert flow.log_prob(x).mean() < best
            scaling.log_scale.sub_(change)
    assert best > before


def test_couplings_promise_a_gain_where_latents_depend_on_each_other_in_both_sets() -> None:
    one, other = heavy_tailed(4000, 0), heavy_tailed(4000, 1)
    assert abs(first_order(one, other)) < 0.01
    mixing = torch.eye(6)
    mixing[0, 1] = 0.5
    assert first_order(one @ mixing, other @ mixing) > 0.02
