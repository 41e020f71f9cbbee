"""A run directory on S3: a run goes on from there on any machine, whatever the network does."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load

from tests.model_store.remote.s3_server import Answer, Bucket, FaultyDoor, bucket_of, first, s3_server
from tests.trainer.conftest import read_state, stop_after
from trainer.commands.train import main
from trainer.presets import Preset
from trainer.run.run_directory import POINTER

URL = "s3://models/store/run"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, FaultyDoor]]:
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(server: tuple[str, FaultyDoor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    (tmp_path / "empty").mkdir()
    with bucket_of(*server, tmp_path / "empty", monkeypatch) as found:
        monkeypatch.setenv("SLUICE_STORE_CACHE", str(tmp_path / "cache"))
        yield found


@pytest.fixture
def train(tiny: Preset, tmp_path: Path) -> Callable[..., Result]:
    """The command, with its run directory in the bucket."""

    def invoke(*arguments: str, run_dir: str = URL) -> Result:
        places = ["--data-dir", f"{tmp_path}/data", "--run-dir", run_dir]
        return CliRunner().invoke(main, ["tiny", *arguments, *places])

    return invoke


def states(bucket: Bucket) -> list[str]:
    return [key.removeprefix("run/") for key in bucket.listed() if key.startswith("run/state-")]


def state_at(bucket: Bucket) -> dict[str, torch.Tensor]:
    """What the pointer names."""
    return load(bucket.get(f"run/{json.loads(bucket.get(f'run/{POINTER}'))['file']}"))


def test_a_stopped_run_goes_on_from_the_bucket_and_publishes_there(
    bucket: Bucket, train: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("--no-publish", run_dir=f"{tmp_path}/here").exit_code == 0
    bucket.door.faults = [first(2, Answer("503 Slow Down"), "PUT", "/state")]
    with monkeypatch.context() as patch:
        stop_after(patch, 12, signal.SIGTERM)
        stopped = train("--no-publish")
    assert stopped.exit_code == 143, stopped.output
    assert len(states(bucket)) == 1
    bucket.door.faults = [first(2, Answer(keep=0.5), "GET", "state-")]
    done = train("--store", "s3://models/store/models")
    assert done.exit_code == 0, done.output
    assert f"resuming {URL} after epoch 1, step " in done.output
    assert "published tiny-digits@1 at s3://models/store/models/tiny-digits/1" in done.output
    found, expected = state_at(bucket), read_state(tmp_path / "here")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert len(states(bucket)) == 1
    assert "run/samples.png" in bucket.listed()
    assert json.loads(bucket.get("models/tiny-digits/1/manifest.json"))["version"] == 1


def test_storage_that_is_down_for_an_epoch_ends_no_run(bucket: Bucket, train: Callable[..., Result]) -> None:
    bucket.door.faults = [first(7, Answer("503 Slow Down"), "PUT", "/state-")]
    done = train("--no-publish")
    assert done.exit_code == 0, done.output
    assert "state-" in done.output
    assert "after 6 attempts; the run goes on, and its next state is kept there instead" in done.output
    assert len(states(bucket)) == 1
    bucket.door.faults = [lambda env: Answer("503 Slow Down") if env["REQUEST_METHOD"] == "PUT" else None]
    failed = train("--no-publish", "--fresh")
    assert failed.exit_code == 1
    assert "after 6 attempts" in failed.output.splitlines()[-1]


def test_a_state_that_is_damaged_or_that_another_run_wrote_is_refused(
    bucket: Bucket, train: Callable[..., Result]
) -> None:
    assert train("--no-publish").exit_code == 0
    (name,) = states(bucket)
    good, pointer = bucket.get(f"run/{name}"), bucket.get(f"run/{POINTER}")
    for data, told in (
        (good[:-1] + b"?", f"{URL}/{name}: its sha256 is not that of state.json"),
        (good[:-1], f"{URL}/{name}: has {len(good) - 1:,} bytes, not {len(good):,}"),
    ):
        bucket.put(f"run/{name}", data)
        refused = train("--no-publish")
        assert refused.exit_code == 1
        assert told in refused.output
    bucket.delete(f"run/{name}")
    assert f"{URL}: state.json names a state that is not there" in train("--no-publish").output
    bucket.put(f"run/{POINTER}", b'{"file": "../store", "size": 1, "sha256": ""}')
    assert "'../store' is no name of a state" in train("--no-publish").output

    moved = iter([None, pointer])

    def another_run(environment: dict[str, Any]) -> Answer | None:
        """Moves the pointer while the second state of a run is on its way."""
        if environment["REQUEST_METHOD"] == "PUT" and "/state-" in environment["PATH_INFO"]:
            data = next(moved, None)
            if data is not None:
                bucket.put(f"run/{POINTER}", data)
        return None

    bucket.door.faults = [another_run]
    ended = train("--no-publish", "--fresh")
    assert ended.exit_code == 1
    assert f"{URL}: another run writes its state there; this one ends" in ended.output
    assert bucket.get(f"run/{POINTER}") == pointer


def test_events_are_for_a_directory(train: Callable[..., Result]) -> None:
    assert "--run-dir is a URL" in train("--tensorboard").output
