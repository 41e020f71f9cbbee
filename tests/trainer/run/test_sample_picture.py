"""The picture of samples that a run writes as it learns."""

from pathlib import Path

import pytest

from trainer.run import sample_picture
from trainer.run.sample_picture import SamplePicture
from trainer.run.state import EpochRecord

RECORD = EpochRecord(epoch=1, train=0.0, validation=0.0, seconds=1.0, skipped=0)


def test_a_picture_is_written_after_the_first_epoch_and_seldom_where_drawing_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(sample_picture, "perf_counter", lambda: now)
    drawn = []

    def draw() -> bytes:
        nonlocal now
        now += 10  # drawing takes as long as an epoch
        drawn.append(now)
        return f"picture {len(drawn)}".encode()

    picture = SamplePicture(tmp_path / "samples.png", draw)
    for _ in range(40):
        now += 10
        picture.epoch_done(RECORD)
    assert drawn[0] == 20
    assert 2 <= len(drawn) <= 4
    assert (tmp_path / "samples.png").read_text() == f"picture {len(drawn)}"
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


def test_a_flow_that_cannot_be_drawn_ends_no_run(tmp_path: Path) -> None:
    def draw() -> bytes:
        raise RuntimeError("out of memory")

    SamplePicture(tmp_path / "samples.png", draw).epoch_done(RECORD)
    assert not list(tmp_path.iterdir())
