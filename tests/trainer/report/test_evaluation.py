"""The statistics of latents agree with the prior where a flow fits, and differ where it does not."""

import pytest
import torch

from flows import nice
from trainer.report.evaluation import Latents


@pytest.mark.parametrize("prior", ["normal", "logistic"])
def test_latents_that_follow_the_prior_have_its_statistics(prior: str) -> None:
    flow = nice((3,), couplings=1, hidden=[4], prior=prior, image=False)
    draws = flow.sample(40_000, torch.Generator().manual_seed(0))
    found = Latents.of(flow, draws)
    assert found.values.shape == (40_000, 3)
    for what, (value, wanted) in found.statistics().items():
        assert value == pytest.approx(wanted, abs=0.04), what


def test_latents_that_are_too_wide_or_shifted_have_other_statistics() -> None:
    flow = nice((2,), couplings=1, hidden=[4], prior="normal", image=False)
    draws = torch.randn(5000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 0.5]) + 1
    found = {what: value for what, (value, _) in Latents.of(flow, draws).statistics().items()}
    assert found["mean"] == pytest.approx(1, abs=0.1)
    assert found["least standard deviation of a dimension"] == pytest.approx(0.5, abs=0.05)
    assert found["greatest standard deviation of a dimension"] == pytest.approx(3, abs=0.1)
    assert found["share above 2.58"] > 0.1
