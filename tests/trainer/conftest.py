"""Real digits in the files that a user would have, few enough to train on in seconds."""

import gzip
import hashlib
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from trainer.commands.train import main
from trainer.data import IdxImages
from trainer.presets import PRESETS, Preset
from trainer.run.stopping import StopRequest

SUBSET = Path(__file__).parents[1] / "data" / "mnist-subset.npz"


def idx_gz(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def image_set(train: bytes, test: bytes, url: str = "http://127.0.0.1:9/") -> IdxImages:
    """A data set of two files with this content. By default nothing answers at its URL."""
    md5 = [hashlib.md5(content).hexdigest() for content in (train, test)]
    return IdxImages("digits", "Digits", "public", url, *md5)


def write_images(folder: Path, train: bytes, test: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(train)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(test)


@pytest.fixture(scope="session")
def digit_files() -> tuple[bytes, bytes]:
    with np.load(SUBSET) as subset:
        return idx_gz(subset["train_images"]), idx_gz(subset["test_images"])


@pytest.fixture
def digits(tmp_path: Path, digit_files: tuple[bytes, bytes]) -> IdxImages:
    """1,000 training and 500 test digits, whose files are in tmp_path / "data"."""
    write_images(tmp_path / "data", *digit_files)
    return image_set(*digit_files)


@pytest.fixture
def tiny(digits: IdxImages, monkeypatch: pytest.MonkeyPatch) -> Preset:
    """A preset that trains in seconds, registered as ``tiny``."""
    preset = Preset(
        name="tiny",
        model="tiny-digits",
        data=digits,
        architecture="nice",
        arguments={"couplings": 2, "hidden": [32]},
        epochs=2,
        batch_size=90,
        weight_decay=0.1,
        warmup_steps=5,
        ema_decay=0.9,
    )
    register(preset, monkeypatch)
    return preset


def register(preset: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a preset available to the command by its name, for the duration of a test."""
    monkeypatch.setitem(PRESETS, preset.name, preset)
    choices = next(parameter.type for parameter in main.params if parameter.name == "preset")
    monkeypatch.setattr(choices, "choices", tuple(PRESETS))


@pytest.fixture
def sluice_train(tmp_path: Path) -> Callable[..., Result]:
    """The command, with data, run directory and store under tmp_path."""

    def invoke(*arguments: str) -> Result:
        places = ["--data-dir", f"{tmp_path}/data", "--run-dir", f"{tmp_path}/run", "--store", f"{tmp_path}/store"]
        (tmp_path / "data").mkdir(exist_ok=True)
        return CliRunner().invoke(main, [*arguments, *places])

    return invoke


def read_state(directory: Path) -> dict[str, torch.Tensor]:
    """The tensors in a run directory's state."""
    return load_file(directory / "state.safetensors")


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int, number: signal.Signals = signal.SIGINT) -> None:
    """Send the signal to this process in that step of the next run."""
    calls = iter(range(1, 10**6))

    def ask(self: StopRequest) -> bool:
        if next(calls) == steps:
            os.kill(os.getpid(), number)
        return self.signal is not None

    monkeypatch.setattr(StopRequest, "__call__", ask)
