"""Models of pictures for benchmarks, trained as ``sluice-train pictures`` does it, with pictures from memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly import PictureCalibration
from model_store import half_dtype, round_weights
from trainer.data.picture_folder import FoundPictures
from trainer.pictures.arrangement import arranged
from trainer.pictures.dealing import Dealt
from trainer.pictures.folds import train_folds
from trainer.pictures.plan import PicturePlan, planned
from trainer.pictures.publication import calibrated
from trainer.pictures.training import Run
from trainer.pictures.trial import tried
from trainer.presets.pictures import PICTURES
from trainer.run.device import choose_precision
from trainer.run.run_directory import RunDirectory
from trainer.run.settings import Computing

CODE = (
    "flows/anomaly",
    "flows/architectures",
    "flows/completion.py",
    "flows/flow.py",
    "flows/nets",
    "flows/noise.py",
    "flows/priors.py",
    "flows/tiles.py",
    "flows/transforms",
    "model_store/weights.py",
    "trainer/data/picture_folder.py",
    "trainer/optimisers",
    "trainer/pictures",
    "trainer/presets/pictures.py",
    "trainer/presets/preset.py",
    "trainer/run/device.py",
    "trainer/run/initial_state.py",
    "trainer/run/jitter.py",
    "trainer/run/randomness.py",
    "trainer/run/ranks.py",
    "trainer/run/settings.py",
    "trainer/run/state.py",
    "trainer/run/step.py",
    "bench/picture_models.py",
)
"""The code that a model depends on."""


class PictureModel(NamedTuple):
    """What came of a training."""

    plan: PicturePlan
    calibration: PictureCalibration
    readings: list[Tensor]
    """The readings of each picture that calibrates."""
    parts: Dealt


def trained(name: str, pictures: Tensor, steps: int, run_dir: Path, *, known_scenes: bool = False) -> PictureModel:
    """A model of uint8 pictures (N, H, W[, C]). Flows that ``run_dir`` holds already are not trained again."""
    height, width = pictures.shape[1:3]
    colours = 3 if pictures.ndim == 4 else 1
    found = FoundPictures(Path(name), (), ((width, height),) * len(pictures), colours, 8, ())
    plan, items = planned(found, size=max(height, width), steps=steps), list(pictures)
    plan, parts = arranged(plan, items, 0, known_scenes=known_scenes)
    preset, device = plan.preset(PICTURES), torch.device("cpu")
    run = Run(
        preset,
        device,
        Computing(precision=choose_precision("auto", device), graph=False),
        say=lambda text: print(f"{name} {width}: {text}", flush=True),
        stop_requested=lambda: False,
    )
    run.say(f"scenes: {plan.told_of_scenes()}")
    with torch.inference_mode(False), torch.enable_grad():
        directory = RunDirectory(run_dir)
        augmentation = tried(run, plan, items, parts, seconds=None, seed=0, run_dir=directory, flip=None, turn=None)
        plan = replace(plan, augmentation=augmentation)
        flows = train_folds(run, plan, items, parts, seconds=None, seed=0, run_dir=directory)
    dtype = half_dtype([each.flow for each in flows])
    for each in flows:
        round_weights(each.flow, dtype)
    return PictureModel(plan, *calibrated(plan, flows, items, parts, 0, run.say), parts)
