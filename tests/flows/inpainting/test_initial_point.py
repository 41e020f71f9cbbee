"""Initial points come from the survey of the flow's draws, and follow from the row and its key alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import flows
from flows import inpainting, noise
from flows.architectures.lattice_flow import LatticeFlow


def test_a_survey_gives_the_mean_and_the_spread_of_what_the_flow_draws() -> None:
    flow = flows.nice((3,), hidden=[8], image=False).double().requires_grad_(False)
    survey = inpainting.survey(flow)
    torch.testing.assert_close(survey.mean, survey.draws.mean(dim=0))
    torch.testing.assert_close(survey.spread, survey.draws.std(dim=0))
    for again in (inpainting.survey(flow), inpainting.survey_of(flow, inpainting.draws(flow, 64))):
        assert all(torch.equal(a, b) for a, b in zip(again, survey, strict=True))


def test_a_survey_made_in_inference_mode_can_be_used_outside_of_it() -> None:
    flow = flows.nice((4, 4), hidden=[8]).requires_grad_(False)
    with torch.inference_mode():
        surveys = [inpainting.survey(flow), inpainting.survey_of(flow, inpainting.draws(flow, 5))]
    assert not any(tensor.is_inference() for survey in surveys for tensor in survey)


def test_an_inpainting_starts_from_the_mean_of_its_survey() -> None:
    flow = flows.nice((3,), hidden=[8], image=False).requires_grad_(False)
    hidden = torch.tensor([[True, True, False]]).expand(2, 3)
    survey = inpainting.survey(flow)
    moved = survey._replace(mean=survey.mean + 5)
    before, after = (
        inpainting.start(flow, torch.zeros(2, 3), hidden, noise.keys(0, 2), survey=each, method="map", steps=1)
        for each in (survey, moved)
    )
    torch.testing.assert_close(before.x, torch.where(hidden, survey.mean, 0.0))
    torch.testing.assert_close(after.x, before.x + 5 * hidden)


@pytest.fixture
def sharp() -> flows.Flow:
    """A flow with sharp modes."""
    torch.manual_seed(0)
    return flows.lattice((8, 12), width=6, blocks=1).eval().requires_grad_(False)


@pytest.fixture
def survey(sharp: flows.Flow) -> inpainting.Survey:
    return inpainting.survey_of(sharp, inpainting.draws(sharp, 40))


def initial_points(
    flow: flows.Flow,
    survey: inpainting.Survey,
    levels: Tensor,
    hidden: Tensor,
    keys: Tensor,
    temperature: float = 0.0,
) -> Tensor:
    x = (levels.float() + 0.5) / 256
    return inpainting.start(flow, x, hidden, keys, survey=survey, steps=1, temperature=temperature).x


def test_with_sharp_modes_the_initial_point_is_the_mean_of_the_draws_nearest_in_the_known_entries(
    sharp: flows.Flow, survey: inpainting.Survey
) -> None:
    draws = survey.draws
    hidden = torch.zeros(3, 8, 12, dtype=torch.bool)
    hidden[:, :, 6:] = True
    levels = draws[[5, 17, 30]]
    start = initial_points(sharp, survey, levels, hidden, noise.keys(0, 3))
    for row, level in enumerate(levels):
        # The draw that equals the row in the known columns must be among those averaged.
        squares = (draws[:, :, :6].double() - level[:, :6].double()).square()
        assert squares.sum(dim=(1, 2)).argmin() == [5, 17, 30][row]
        others = (draws.float().mean(dim=0) + 0.5) / 256
        own = (level.float() + 0.5) / 256
        assert (start[row] - own)[:, 6:].abs().mean() < 0.99 * (others - own)[:, 6:].abs().mean()
    assert torch.equal(start[:, :, :6], (levels[:, :, :6].float() + 0.5) / 256)


def test_an_initial_point_depends_on_its_own_row_and_key_alone(sharp: flows.Flow, survey: inpainting.Survey) -> None:
    hidden = torch.rand(6, 8, 12, generator=torch.Generator().manual_seed(1)) < 0.6
    hidden[4:] = True
    levels = torch.randint(0, 256, (6, 8, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    keys = noise.keys(3, 6)
    together = initial_points(sharp, survey, levels, hidden, keys, temperature=1.0)
    for row in range(6):
        alone = initial_points(
            sharp, survey, levels[row : row + 1], hidden[row : row + 1], keys[row : row + 1], temperature=1.0
        )
        assert torch.equal(alone[0], together[row])
    others = initial_points(sharp, survey, levels, hidden, noise.keys(4, 6), temperature=1.0)
    assert bool((others != together).flatten(1).any(dim=1).all())
    assert not torch.equal(together[4], together[5]), "with no known entries, the keys decide"


def test_with_sharp_modes_the_ascent_stays_near_its_initial_point_at_first(
    sharp: flows.Flow, survey: inpainting.Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slope(x: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        log_prob = 0.4 * x.flatten(1).sum(dim=1)
        return log_prob.detach(), log_prob

    monkeypatch.setattr(sharp, "smoothed_log_prob", slope)
    x, hidden = torch.full((2, 8, 12), 0.5), torch.ones(2, 8, 12, dtype=torch.bool)
    hidden[:, :, :3] = False
    rows = inpainting.start(sharp, x, hidden, noise.keys(0, 2), survey=survey, steps=400, temperature=0.0)
    initial = rows.x
    for _ in range(200):
        rows = inpainting.step(sharp, rows)
    # A slope of 0.4 balances (0.5 / 0.25)^2 times the distance here. Without the pull, x would rise to the bound of 1.
    balance = (initial + 0.1).clamp(max=1)
    torch.testing.assert_close(rows.x[hidden], balance[hidden], atol=0.03, rtol=0)
    while not bool(rows.done.all()):
        rows = inpainting.step(sharp, rows)
    assert bool((rows.x[hidden] > balance[hidden] - 0.03).all()), "in the end the likelihood alone decides"
    assert (rows.x - initial)[hidden].mean() > 0.2
    assert torch.equal(rows.x[~hidden], x[~hidden])


def test_a_survey_for_another_size_gives_colours_and_interpolated_initial_points() -> None:
    torch.manual_seed(0)
    small = flows.lattice((8, 12, 3), width=4, blocks=1, joint=True, anywhere=True).eval().requires_grad_(False)
    assert isinstance(small, LatticeFlow)
    drawn = inpainting.survey_of(small, inpainting.draws(small, 5))
    large = small.on_sides(20, 16)
    survey = inpainting.survey_for(drawn, large)
    assert survey.mean.shape == survey.spread.shape == (20, 16, 3)
    torch.testing.assert_close(survey.mean[0, 0], drawn.mean.mean(dim=(0, 1)))
    hidden = torch.zeros(2, 20, 16, 3, dtype=torch.bool)
    hidden[:, 4:8] = True
    x = torch.full((2, 20, 16, 3), 0.625)
    rows = inpainting.start(large, x, hidden, noise.keys(0, 2), survey=survey, steps=3)
    torch.testing.assert_close(rows.x, x)
    while not bool(rows.done.all()):
        rows = inpainting.step(large, rows)
    assert not torch.equal(rows.x[0], rows.x[1]), "rows differ by the noise of their steps"
