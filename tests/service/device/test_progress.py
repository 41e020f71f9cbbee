"""The history of an inpainting: few snapshots, whatever its steps and its rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from service.device.columns import Columns
from service.device.progress import Progress
from service.protocol.defaults import PICTURED, SNAPSHOTS
from service.protocol.snapshots import SNAPSHOT_SIDE


def view(values: list[float], size: int = 2) -> Columns:
    items = torch.tensor(values).to(torch.uint8)[:, None, None].expand(-1, size, size)
    return Columns({"log_likelihood": torch.tensor(values), "items": items})


@pytest.mark.parametrize("steps", [1, 2, 47, 48, 49, 96, 97, 2000, 10**6])
def test_snapshots_are_few_and_spread_evenly(steps: int) -> None:
    progress = Progress(1, steps, None)
    due = [tick for tick in range(1, min(steps, 5000) + 1) if progress.due(tick)]
    assert len(progress.history()["log_likelihood"]) == 0
    assert steps // progress.stride <= SNAPSHOTS
    assert set(np.diff(due)) <= {progress.stride}
    if steps <= 5000:
        assert len(due) == steps // progress.stride >= 1


def test_the_latest_tells_the_furthest_step_and_the_likeliest_row() -> None:
    progress = Progress(3, 4, (2, 2))
    assert progress.latest() is None
    progress.show(torch.tensor([0, 2]), 1, view([10.0, 30.0]))
    latest = progress.latest()
    assert latest is not None
    step, likeliest, items = latest
    assert (step, likeliest) == (1, 30.0)
    assert items is not None
    assert items[:, 0, 0].tolist() == [10, 30]
    progress.show(torch.tensor([2]), 2, view([20.0]))
    latest = progress.latest()
    assert latest is not None
    assert latest[:2] == (2, 20.0), "row 0 stands at 10 since its last snapshot"
    history = progress.history()
    assert history["taken"].tolist() == [1, 0, 2]
    assert history["log_likelihood"].shape == (2, 3)
    assert np.isnan(history["log_likelihood"][1, 0])


def test_only_the_first_rows_keep_their_pixels() -> None:
    progress = Progress(PICTURED + 4, 2, (2, 2))
    progress.show(torch.arange(PICTURED + 4), 1, view(list(map(float, range(PICTURED + 4)))))
    assert progress.history()["items"].shape == (1, PICTURED, 2, 2)
    latest = progress.latest()
    assert latest is not None
    assert latest[1] == PICTURED + 3, "the likeliest of all rows"


def test_a_vector_has_no_pixels() -> None:
    progress = Progress(1, 2, None)
    progress.show(torch.tensor([0]), 1, view([1.0]))
    assert progress.latest() == (1, 1.0, None)
    assert "items" not in progress.history()


def test_large_pictures_are_kept_scaled_down() -> None:
    side = 2 * SNAPSHOT_SIDE + 1
    progress = Progress(1, 1, (side, 5, 3))
    items = torch.zeros(1, side, 5, 3, dtype=torch.uint8)
    items[:, :3, 3:] = 90
    progress.show(torch.tensor([0]), 1, Columns({"log_likelihood": torch.tensor([1.0]), "items": items}))
    found = progress.history()["items"]
    assert found.shape == (1, 1, 86, 2, 3)
    assert found.nbytes <= 3 * SNAPSHOT_SIDE**2
    assert found[0, 0, 0].tolist() == [[0] * 3, [90] * 3]
    assert not found[0, 0, 1:].any()


def test_what_rows_show_is_framed() -> None:
    progress = Progress(2, 1, (4, 4), framed=lambda items: np.pad(items, ((0, 0), (1, 1), (1, 1))))
    progress.show(torch.tensor([0, 1]), 1, view([1.0, 2.0]))
    latest = progress.latest()
    assert latest is not None
    assert latest[2] is not None
    assert latest[2][1].tolist() == [[0, 0, 0, 0], [0, 2, 2, 0], [0, 2, 2, 0], [0, 0, 0, 0]]
