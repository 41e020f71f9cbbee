"""Cross-conformal p-values: the promise, rows of other folds, what is stored, and which column."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import flows
from flows import Flow
from flows.anomaly import UNSEEN, CrossCalibration, Neighbours, contributions

FOLDS = 5


def rows_of(count: int, seed: int) -> Tensor:
    """Rows of three columns, the third nearly the sum of the others."""
    draws = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    draws[:, 2] = draws[:, 0] + draws[:, 1] + 0.1 * draws[:, 2]
    return draws


def fitted(rows: Tensor, seed: int = 0) -> Flow:
    torch.manual_seed(seed)
    flow = flows.nice((3,), couplings=2, hidden=[4], whitening="zca", image=False)
    flow.initialise(rows)
    return flow.eval().requires_grad_(False)


def calibrated(rows: Tensor, neighbours: bool = True) -> CrossCalibration:
    folds = torch.arange(len(rows)) % FOLDS
    return CrossCalibration.of([fitted(rows[folds != k]) for k in range(FOLDS)], rows, folds, neighbours)


@pytest.fixture(scope="module")
def calibration() -> CrossCalibration:
    return calibrated(rows_of(100, seed=0))


def test_false_alarms_keep_their_promise_over_many_small_tables() -> None:
    shares = []
    for seed in range(60):
        p_values = calibrated(rows_of(39, seed)).judge(rows_of(64, 1000 + seed)).p_value
        shares.append([float((p_values <= alpha).double().mean()) for alpha in (0.1, 0.05)])
    at_ten, at_five = torch.tensor(shares).mean(dim=0).tolist()
    # 60 tables of 39 rows: the mean of beta-binomial shares deviates by 0.007 and 0.005; these are three deviations.
    assert at_ten == pytest.approx(0.1, abs=0.021)
    assert at_five == pytest.approx(0.05, abs=0.015)


def test_a_broken_relation_between_columns_is_anomalous(calibration: CrossCalibration) -> None:
    verdict = calibration.judge(torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, -2.0]]))
    assert verdict.p_value[0] > 0.2
    assert verdict.p_value[1] == 1 / 101
    assert verdict.tests["relations"][1] == 1 / 101


def test_a_row_that_is_not_finite_gets_the_least_p_value(calibration: CrossCalibration) -> None:
    assert (
        calibration.judge(torch.tensor([[torch.nan, 0.0, 0.0], [torch.inf, 0.0, 0.0]])).p_value.tolist()
        == [1 / 101] * 2
    )


def test_a_calibrating_row_is_judged_without_knowing_itself() -> None:
    rows = rows_of(100, seed=1)
    once = calibrated(rows)
    folds = torch.arange(100) % FOLDS
    member = once.members[0]
    assert member.neighbours is not None
    assert bool((member.neighbours.distances(rows[folds == 0])[0] > 0).all())


def test_stored_tensors_give_the_same_verdicts_to_the_bit(calibration: CrossCalibration) -> None:
    again = CrossCalibration.from_tensors([member.flow for member in calibration.members], calibration.tensors())
    fresh = rows_of(64, seed=2)
    assert torch.equal(again.judge(fresh).p_value, calibration.judge(fresh).p_value)
    assert torch.equal(again.judge(fresh).scores, calibration.judge(fresh).scores)


def test_a_row_gets_the_same_distances_alone_and_among_others() -> None:
    near, points = Neighbours(rows_of(300, seed=3)), rows_of(64, seed=4)
    together = near.distances(points)
    alone = torch.cat([near.distances(point.expand(32, 3))[:, :1] for point in points], dim=1)
    assert torch.equal(together, alone)


def test_without_neighbours_no_row_is_kept() -> None:
    calibration = calibrated(rows_of(60, seed=5), neighbours=False)
    assert calibration.fit == 0
    assert [test.name for test in calibration.tests] == ["likelihood", "mixture"]
    assert len(calibration.tensors()["kept"]) == 0
    again = CrossCalibration.from_tensors([member.flow for member in calibration.members], calibration.tensors())
    assert torch.equal(again.judge(rows_of(32, 6)).p_value, calibration.judge(rows_of(32, 6)).p_value)


def test_a_calibration_of_an_earlier_version_is_still_read(calibration: CrossCalibration) -> None:
    tensors = {
        name: tensor
        for name, tensor in calibration.tensors().items()
        if not name.startswith("mixture.") and name != "shrinkage"
    }
    earlier = CrossCalibration.from_tensors([member.flow for member in calibration.members], tensors)
    assert [test.name for test in earlier.tests] == ["likelihood", "latent", "neighbours", "relations"]
    assert earlier.judge(torch.tensor([[1.0, 1.0, -2.0]])).p_value == 1 / 101
    assert earlier.tensors().keys() == tensors.keys()
    x = rows_of(4, seed=12)
    found = earlier.contributions(x)
    expected = contributions([member.flow for member in earlier.members], x, earlier.grid)
    assert torch.equal(found.gain, expected.gain)


def test_a_constant_column_contributes_nothing_strange() -> None:
    rows = rows_of(100, seed=1)
    rows[:, 1] = 5.0
    found = calibrated(rows, neighbours=False).contributions(rows[:3])
    assert found.gain.isfinite().all()
    assert found.expected[:, 1].tolist() == pytest.approx([5, 5, 5], abs=1e-3)


@pytest.mark.parametrize("damage", ["a missing tensor", "another width", "NaN"])
def test_a_damaged_mixture_is_refused(calibration: CrossCalibration, damage: str) -> None:
    tensors = calibration.tensors()
    if damage == "a missing tensor":
        del tensors["mixture.1.factors"]
    elif damage == "another width":
        tensors["mixture.1.means"] = tensors["mixture.1.means"][:, :2]
    else:
        tensors["mixture.1.scale"] = torch.full((3,), torch.nan)
    with pytest.raises((KeyError, ValueError), match=r"mixture\.1"):
        CrossCalibration.from_tensors([member.flow for member in calibration.members], tensors)


def test_one_member_is_a_split_calibration() -> None:
    rows = rows_of(150, seed=7)
    folds = torch.where(torch.arange(150) < 50, UNSEEN, 0)
    calibration = CrossCalibration.of([fitted(rows[:50])], rows, folds)
    assert calibration.size == 100
    assert calibration.judge(torch.tensor([[9.0, 9.0, -9.0]])).p_value == 1 / 101
    assert calibration.assess(calibration.members[0].flow, rows[:4]).statistics.shape == (4, 4)


def test_a_group_of_shifted_rows_is_found(calibration: CrossCalibration) -> None:
    flow = calibration.members[0].flow
    ordinary = calibration.assess(flow, rows_of(60, seed=8)).verdict.scores
    shifted = calibration.assess(flow, rows_of(60, seed=8) * 1.5).verdict.scores
    assert calibration.judge_group(ordinary).p_value > 0.01
    assert calibration.judge_group(shifted).p_value < 0.001


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 rows"):
        calibrated(rows_of(9, seed=9))


def test_the_column_that_breaks_a_relation_contributes_most(calibration: CrossCalibration) -> None:
    x = rows_of(32, seed=10)
    x[0] = torch.tensor([0.0, 0.0, 2.0])  # each value is ordinary; the third is not the sum of the others
    found = calibration.contributions(x)
    assert found.gain.shape == found.expected.shape == (32, 3)
    assert int(found.gain[0].argmax()) == 2
    assert found.expected[0, 2].abs() < 0.5


def test_contributions_of_a_row_do_not_depend_on_the_others(calibration: CrossCalibration) -> None:
    x = rows_of(64, seed=11)
    flows_of = [member.flow for member in calibration.members]
    together = contributions(flows_of, x, calibration.grid)
    parts = contributions(flows_of, x[:32], calibration.grid)
    assert torch.equal(together.gain[:32], parts.gain)
