"""Two ranks under torchrun arrive at the result of one process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.conftest import SUBSET
from trainer.errors import TrainerError
from trainer.run.ranks import Ranks

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).parent / "first_gradients.py"


class Run(NamedTuple):
    output: str
    gradients: dict[str, torch.Tensor]
    state: dict[str, torch.Tensor]
    files: set[str]


def _run(folder: Path, ranks: int) -> Run:
    """Two epochs on 600 real digits, by one process or by several."""
    folder.mkdir()
    with np.load(SUBSET) as subset:
        np.save(folder / "digits.npy", subset["train_images"][:600])
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    arguments = (
        "images-nice --data digits.npy --epochs 2 --batch-size 90 --precision float32 --run-dir run --store store"
    )
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), "gradients", *arguments.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return Run(done.stdout, load_file(folder / "gradients"), load_file(folder / "run/state.safetensors"), files)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("ranks")
    return _run(folder / "one", 1), _run(folder / "two", 2)


def test_the_gradient_of_two_ranks_is_that_of_one(runs: tuple[Run, Run]) -> None:
    one, two = (run.gradients for run in runs)
    assert one.keys() == two.keys()
    assert sum(float(gradient.abs().sum()) for gradient in one.values()) > 0
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, atol=1e-6, rtol=1e-4)


def test_the_weights_and_the_output_of_two_ranks_are_those_of_one(runs: tuple[Run, Run]) -> None:
    one, two = runs
    for name in (name for name in one.state if name.startswith(("flow/", "average/"))):
        torch.testing.assert_close(two.state[name], one.state[name], atol=1e-3, rtol=1e-3)
    likelihoods = [[line.split("  ")[1:3] for line in run.output.splitlines()[:2]] for run in runs]
    assert likelihoods[0] == likelihoods[1]


def test_only_the_first_rank_writes_files_and_prints(runs: tuple[Run, Run]) -> None:
    one, two = runs
    assert two.files == one.files
    assert two.output.count("epoch 1/2") == two.output.count("published digits@1") == 1


def test_a_batch_that_ranks_cannot_share_evenly_is_refused() -> None:
    ranks = Ranks(torch.device("cpu"), rank=0, count=4)
    ranks.check(200)
    with pytest.raises(TrainerError, match="90 cannot be shared evenly by 4 ranks"):
        ranks.check(90)


def test_shares_are_disjoint_and_complete() -> None:
    items = torch.arange(11)
    shares = [Ranks(torch.device("cpu"), rank, 3).share(items) for rank in range(3)]
    assert torch.cat(shares).sort().values.equal(items)
