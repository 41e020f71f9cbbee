"""Two ranks under torchrun arrive at the result of one process, also when one of them is killed."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.run import parse_args

from tests.trainer.conftest import SUBSET
from trainer.errors import TrainerError
from trainer.run.ranks import Ranks

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).parent / "first_gradients.py"
KILLED = Path(__file__).parent / "killed_rank.py"
LEAVING = Path(__file__).parent / "leaving_ranks.py"


class Run(NamedTuple):
    output: str
    state: dict[str, torch.Tensor]
    weights: bytes
    files: set[str]
    told: str

    @property
    def epochs(self) -> list[list[str]]:
        """The likelihoods of each epoch, as the display tells them."""
        return [line.split("  ")[1:3] for line in self.output.splitlines() if line.startswith("epoch ")]


def _run(folder: Path, ranks: int, *script: str, options: str = "") -> Run:
    """Two epochs on 600 real digits, by one process or by several."""
    folder.mkdir()
    with np.load(SUBSET) as subset:
        np.save(folder / "digits.npy", subset["train_images"][:600])
    launcher = ["-m", "torch.distributed.run", "--standalone", "--max-restarts", "1", "--nproc-per-node"]
    arguments = (
        "images-nice --data digits.npy --epochs 2 --batch-size 90 --precision float32 --run-dir run --store store"
    )
    done = subprocess.run(
        [
            sys.executable,
            *([*launcher, str(ranks)] if ranks > 1 else []),
            *script,
            *arguments.split(),
            *options.split(),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    weights = (folder / "store/digits/1/model.safetensors").read_bytes()
    return Run(done.stdout, load_file(folder / "run/state.safetensors"), weights, files, done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def runs(folder: Path) -> tuple[Run, Run]:
    return _run(folder / "one", 1, str(SCRIPT), "gradients"), _run(folder / "two", 2, str(SCRIPT), "gradients")


def test_the_gradient_of_two_ranks_is_that_of_one(runs: tuple[Run, Run], folder: Path) -> None:
    one, two = (load_file(folder / name / "gradients") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert sum(float(gradient.abs().sum()) for gradient in one.values()) > 0
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, atol=1e-6, rtol=1e-4)


def test_the_weights_and_the_output_of_two_ranks_are_those_of_one(runs: tuple[Run, Run]) -> None:
    one, two = runs
    for name in (name for name in one.state if name.startswith(("flow/", "average/"))):
        torch.testing.assert_close(two.state[name], one.state[name], atol=1e-3, rtol=1e-3)
    assert one.epochs == two.epochs
    assert len(one.epochs) == 3, "the initial state, and two epochs"


def test_only_the_first_rank_writes_files_and_prints(runs: tuple[Run, Run]) -> None:
    one, two = runs
    assert two.files == one.files
    assert two.output.count("epoch 1/2") == two.output.count("published digits@1") == 1


def test_the_command_of_a_card_can_be_given_to_torchrun_again(runs: tuple[Run, Run], folder: Path) -> None:
    manifest = json.loads((folder / "two/store/digits/1/manifest.json").read_text())
    launcher, *command = shlex.split(f"{manifest['provenance']['command']} --start digits@1")
    assert launcher == "torchrun"
    read = parse_args(command)  # which takes --start for its own --start-method, unless told where its options end
    assert (read.nproc_per_node, read.training_script) == ("2", "sluice-train")
    assert read.training_script_args[-2:] == ["--start", "digits@1"]


def test_a_killed_rank_is_started_again_and_the_run_ends_with_the_same_bytes(
    runs: tuple[Run, Run], folder: Path
) -> None:
    _, undisturbed = runs
    killed = _run(folder / "killed", 2, str(KILLED), "7", options="--fresh")
    assert "resuming run after epoch 1, step 0" in killed.output, killed.told
    assert killed.epochs == undisturbed.epochs
    assert killed.state.keys() == undisturbed.state.keys()
    for name, tensor in undisturbed.state.items():
        assert torch.equal(killed.state[name], tensor), name
    assert killed.weights == undisturbed.weights
    assert killed.output.count("published digits@1") == 1


def test_a_rank_may_end_while_its_group_is_still_at_work() -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(LEAVING)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_batch_that_ranks_cannot_share_evenly_is_refused() -> None:
    ranks = Ranks(torch.device("cpu"), rank=0, count=4)
    ranks.check(200)
    with pytest.raises(TrainerError, match="90 cannot be shared evenly by 4 ranks"):
        ranks.check(90)


def test_shares_are_disjoint_and_complete() -> None:
    items = torch.arange(11)
    shares = [Ranks(torch.device("cpu"), rank, 3).share(items) for rank in range(3)]
    assert torch.cat(shares).sort().values.equal(items)
