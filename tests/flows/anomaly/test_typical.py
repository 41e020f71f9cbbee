"""What is usual at a place, from several readings at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from flows.anomaly import PictureCalibration
from flows.anomaly.places import blurred, widths_for
from flows.anomaly.typical import Typical, step_of
from tests.flows.anomaly.test_pictures import tiled

DATA = Path(__file__).parents[2] / "data"


def test_a_place_is_strange_where_readings_do_not_go_together() -> None:
    generator = torch.Generator().manual_seed(2)
    shades = [blurred(torch.randn(24, 24, generator=generator), 2.0) * 5 for _ in range(12)]
    pictures = [torch.stack([each, each + 0.1 * torch.randn(24, 24, generator=generator)]) for each in shades]
    typical, odd = Typical.of(pictures[:8], widths_for(24)), pictures[9].clone()
    odd[1, 8:14, 8:14] -= 1.5
    assert float(typical.scores(pictures[10]).max()) < float(typical.scores(odd).max())
    row, column = divmod(int(typical.scores(odd).argmax()), 24)
    assert 7 <= row <= 14
    assert 7 <= column <= 14


def striped(count: int, seed: int) -> list[Tensor]:
    """Two readings and a colour of pictures with two kinds of stripes: calm and dark, rough and bright."""
    generator = torch.Generator().manual_seed(seed)
    rough = (torch.arange(32) // 8 % 2 == 1).float().expand(32, 32)
    found = []
    for _ in range(count):
        noise = torch.randn(3, 32, 32, generator=generator)
        spread = 0.1 + 2 * rough
        found.append(torch.stack([noise[0] * spread + 6 * rough, noise[1] * spread, rough + 0.3 * noise[2]]))
    return found


def test_a_colour_that_no_place_has_is_strange_by_itself() -> None:
    typical, (calm, odd) = Typical.of(striped(8, 0), widths_for(32), colours=1), striped(2, 1)
    odd[2, 8:18, 8:18] = 4.0
    strange = typical.scores(odd)
    assert float(strange[8:18, 8:18].mean()) > float(typical.scores(calm).max())


def test_the_same_pictures_give_the_same_judge_and_what_is_stored_gives_it_back() -> None:
    pictures, (picture,) = striped(6, 0), striped(1, 1)
    one, two = (Typical.of(pictures, widths_for(32), colours=1) for _ in range(2))
    again = Typical.from_tensors(one.tensors("a.") | {"widths": torch.tensor(one.widths, dtype=torch.float64)}, "a.")
    for other in (two, again):
        assert torch.equal(one.scores(picture), other.scores(picture))


def test_ordinary_places_at_a_border_are_no_stranger_than_others() -> None:
    pictures = list(torch.randn(48, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    typical = Typical.of(pictures[:24], widths_for(32), colours=1)
    scores = torch.stack([typical.scores(each) for each in pictures[24:]])
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[3:-3, 3:-3] = True
    assert 0.8 < float(scores[:, ~inside].mean() / scores[:, inside].mean()) < 1.25


def test_models_of_before_borders_were_damped_judge_as_they_did() -> None:
    now, (picture,) = Typical.of(striped(6, 0), widths_for(32), colours=1), striped(1, 1)
    tensors = now.tensors("a.") | {"widths": torch.tensor(now.widths, dtype=torch.float64)}
    del tensors["a.damped"]
    before = Typical.from_tensors(tensors, "a.")
    assert "a.damped" not in before.tensors("a.")
    for window, width in enumerate(now.widths):
        plain = blurred(picture, width, step_of(width))
        assert torch.allclose(before.averages(picture)[window], plain, atol=1e-5)
    reach = slice(12, -12)
    old, new = before.scores(picture), now.scores(picture)
    assert torch.allclose(old[reach, reach], new[reach, reach], atol=1e-4)
    assert float(old[0].mean()) > 1.2 * float(new[0].mean())


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_pictures_that_never_vary_leave_scores_finite(value: float) -> None:
    flat = [torch.full((3, 16, 16), value) for _ in range(6)]
    typical, odd = Typical.of(flat, widths_for(16), colours=1), flat[0].clone()
    odd[:, 4:8, 4:8] += 9
    odd[0, 0, 0], odd[1, 0, 1] = torch.nan, torch.inf
    assert typical.scores(odd).isfinite().all()
    assert float(typical.scores(odd)[5, 5]) > float(typical.scores(flat[0]).max())


def test_models_of_before_there_were_kinds_judge_as_they_did() -> None:
    stored = load_file(DATA / "picture-calibration-before-kinds.safetensors")
    cases = ("faulty", "calm")
    tensors = {name: each for name, each in stored.items() if not name.startswith(cases)}
    old = PictureCalibration.from_tensors(tiled(), tensors)
    assert old.tensors().keys() == tensors.keys()
    for case in cases:
        readings = stored[f"{case}.readings"]
        found = old.assess_readings(readings.expand(3, *readings.shape))
        each = torch.stack([judge.usual.rarity(judge.places(readings)) for judge in old.judges])
        assert torch.allclose(each.mean(dim=0), stored[f"{case}.rarity"], atol=2e-3)
        assert torch.equal(found.place_p_value, stored[f"{case}.place_p_value"])
        assert torch.equal(found.verdict.p_value, stored[f"{case}.p_value"])
