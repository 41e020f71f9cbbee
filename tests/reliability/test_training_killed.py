"""A trainer that is killed: the same command continues, and ends with the weights of a run that nobody killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model_store import Store
from tests.reliability.figures import Proof
from tests.reliability.markers import LONG, share_of
from tests.service.servers import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by a signal")

# One process that has imported everything, and forks for each run. It is killed at a random moment, or before a random
# system call on a file: during a save, mostly. The states that are compared hold weights, averages and the optimiser's.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from trainer.commands.train import main

if "--no-publish" not in sys.argv:
    import trainer.report.pictures

place, kills = Path(sys.argv[1]), int(sys.argv[2])
(place / "data").mkdir()
moments = random.Random(4)

def arguments(name):
    places = ["--data-dir", place / "data", "--run-dir", place / name / "run", "--store", place / name / "store"]
    size = ["--epochs", "3", "--limit", "500", "--batch-size", "100", "--device", "cpu"]
    return ["moons-nice", *size, *sys.argv[3:], *map(str, places)]

calls, die_before = 0, 0
def hook(event, _):
    global calls
    if event == "open" or event.startswith(("os.", "tempfile.", "shutil.")):
        calls += 1
        if calls == die_before:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)

def train(name):
    try:
        return main(arguments(name), standalone_mode=False) or 0
    except SystemExit as error:
        return error.code or 0

def run(name, call=0):
    \"\"\"Train in a child; its process id. It dies before that many system calls on files are done.\"\"\"
    global calls, die_before
    child = os.fork()
    if child:
        return child
    calls, die_before = 0, call
    code = 1
    try:
        code = train(name)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    os._exit(code)

told = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
# The first run is this process's own, so that what is imported on the way is there for all.
assert train("imported") == 0
calls, began = 0, time.monotonic()
assert train("straight") == 0
every, seconds = calls, time.monotonic() - began
killed = 0
for number in range(kills):
    name = f"killed-{number}"
    for again in range(2):  # a run that is continued may be killed too
        if (number + again) % 2:
            child = run(name, moments.randrange(1, every))
        else:
            child = run(name)
            time.sleep(moments.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
    _, status = os.waitpid(run(name), 0)
    assert status == 0, (name, status)
os.write(told, str(killed).encode())
"""


@pytest.mark.parametrize(("runs", "published"), [(1, False), pytest.param(share_of(20), True, marks=LONG)])
def test_a_trainer_killed_at_any_moment_ends_with_the_weights_of_a_run_that_nobody_killed(
    tmp_path: Path, runs: int, published: bool, proof: Proof
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(runs), *([] if published else ["--no-publish"])],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    proof.injected(int(done.stdout))
    proof.expect(proof.faults > 0, "nobody was killed")
    expected = load_file(tmp_path / "straight/run/state.safetensors")
    reference = weights(Store(tmp_path / "straight/store")) if published else ""
    for number in range(runs):
        place = tmp_path / f"killed-{number}"
        proof.expect(same(load_file(place / "run/state.safetensors"), expected), f"{number}: another state")
        if published:
            proof.expect(weights(Store(place / "store")) == reference, f"{number}: other weights were published")
    proof.hold()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit: weights, their averages, the optimiser's moments."""
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def weights(store: Store) -> str:
    """The hash of the weights that a run has published, once; the version loads with every check."""
    (name,) = store.names()
    (version,) = store.versions(name)
    return store.load(name, version).manifest.files["model.safetensors"].sha256
