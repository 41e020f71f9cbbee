"""Training by two agents of torchrun, as on two machines, with run and model on S3: a rank and an agent are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file

from tests.model_store.remote.s3_server import Bucket, bucket_of, s3_server
from tests.scale.markers import LONG
from tests.trainer.conftest import SUBSET
from trainer.run.ranks import UNSHARED
from trainer.run.run_directory import POINTER

pytestmark = LONG

ROOT = Path(__file__).parents[2]
URL = "s3://models/store/run"
_TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
_TRAIN = "-m trainer.commands.train images-nice --data digits.npy --epochs 12 --batch-size 90 --precision float32"
_ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
_PATIENCE = 240.0


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with np.load(SUBSET) as subset:
        np.save(tmp_path / "digits.npy", subset["train_images"])
    (tmp_path / "empty").mkdir()
    with s3_server() as server, bucket_of(*server, tmp_path / "empty", monkeypatch) as found:
        monkeypatch.setenv("SLUICE_STORE_CACHE", str(tmp_path / "cache"))
        yield found


class Agent:
    """A torchrun with one rank, in a session of its own, as on a machine of its own."""

    def __init__(self, folder: Path, number: int, port: int, *places: str) -> None:
        options = "--rdzv-backend c10d --rdzv-id tested --max-restarts 3 --nnodes 2 --nproc-per-node 1"
        endpoint = f"--rdzv-endpoint localhost:{port} --rdzv-conf is_host={int(number == 0)}"
        self._log = folder / f"agent-{number}-{time.monotonic()}.log"
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [*_TORCHRUN, *options.split(), *endpoint.split(), *_TRAIN.split(), *places],
                cwd=folder,
                env=os.environ | _ENVIRONMENT | dict([UNSHARED.split("=")]),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def told(self) -> str:
        return self._log.read_text()

    def rank(self) -> int | None:
        """The process of the rank, once it is there."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ranks = (int(child) for child in children if b"RANK=" in Path(f"/proc/{child}/environ").read_bytes())
        return next(ranks, None)

    def kill(self) -> None:
        """Everything on the machine."""
        rank = self.rank() if self.process.poll() is None else None
        for process in (self.process.pid, rank):  # a rank has a session of its own
            if process is not None:
                os.kill(process, signal.SIGKILL)
        self.process.wait()


def until(what: Callable[[], Any], *agents: Agent) -> Any:
    """Wait until something is true, and give it."""
    give_up = time.monotonic() + _PATIENCE
    while not (found := what()):
        assert time.monotonic() < give_up, "\n".join(agent.told[-3000:] for agent in agents)
        for agent in agents:
            assert agent.process.poll() in (None, 0), agent.told[-3000:]
        time.sleep(0.05)
    return found


@pytest.mark.timeout(900)
def test_a_killed_rank_and_a_lost_machine_leave_the_result_as_it_is(bucket: Bucket, tmp_path: Path) -> None:
    def epochs() -> int:
        """States that were kept."""
        return sum(method == "PUT" and path.endswith(POINTER) for method, path in bucket.door.seen)

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    places = ("--run-dir", URL, "--store", "s3://models/store/models")
    one, other = (Agent(tmp_path, number, port, *places) for number in (0, 1))
    try:
        until(lambda: epochs() >= 1, one, other)
        rank = until(one.rank, one, other)
        os.kill(rank, signal.SIGKILL)
        begun = epochs()
        until(lambda: "resuming" in one.told + other.told and epochs() > begun, one, other)
        other.kill()
        other = Agent(tmp_path, 1, port, *places)
        begun = epochs()
        until(lambda: epochs() > begun, one, other)
        until(lambda: [each.process.poll() for each in (one, other)] == [0, 0], one, other)
        told = one.told + other.told
    finally:
        for agent in (one, other):
            if agent.process.poll() is None:
                agent.kill()
    assert "published digits@1 at s3://models/store/models/digits/1" in told
    undisturbed = subprocess.run(
        [
            *_TORCHRUN,
            "--standalone",
            "--nproc-per-node",
            "2",
            *_TRAIN.split(),
            "--run-dir",
            "run",
            "--store",
            "here",
        ],
        cwd=tmp_path,
        env=os.environ | _ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert undisturbed.returncode == 0, undisturbed.stderr
    found = load(bucket.get(f"run/{json.loads(bucket.get(f'run/{POINTER}'))['file']}"))
    expected = load_file(tmp_path / "run/state.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    weights = "digits/1/model.safetensors"
    assert bucket.get(f"models/{weights}") == (tmp_path / "here" / weights).read_bytes()
