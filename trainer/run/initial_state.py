"""The state that a fresh run starts from."""

from __future__ import annotations

import copy
from typing import Any

import torch

import flows
from trainer.data import Splits
from trainer.errors import DataError
from trainer.optimisers import optimiser_of
from trainer.presets import Preset
from trainer.run.randomness import dequantise, noise_keys
from trainer.run.state import TrainingState

_BATCH = 5000
"""Items that are dequantised at a time: their noise is several times as large as they are."""


def arguments_for(preset: Preset, splits: Splits) -> dict[str, Any]:
    """The arguments of the preset's builder, and the steps of a table's columns where the builder takes them."""
    arguments = dict(preset.arguments)
    known = flows.ARCHITECTURES[preset.architecture].arguments
    if splits.schema is not None and "steps" in known and "levels" in known:
        arguments |= {"steps": splits.schema.resolutions, "levels": splits.schema.levels}
    return arguments


def fresh_state(
    preset: Preset, splits: Splits, seed: int, device: torch.device, initialise: bool = True
) -> TrainingState:
    """A flow and its optimiser before the first step.

    Without ``initialise`` the data-dependent parameters of a flow of images are left as built, for a state that is
    restored: a whitening of 3,072 dimensions and a pass through wide nets take minutes.

    The seed decides the random weights of nets; data-dependent parameters are initialised from training items. Raises
    DataError when the preset's flow is of images and the data are vectors, or the other way round.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = flows.build(preset.architecture, splits.item_shape, arguments_for(preset, splits)).to(device)
    if flow.is_image != splits.are_images:
        held, wanted = ("images", "vectors") if splits.are_images else ("vectors", "images")
        raise DataError(f"{preset.data.name}: holds {held}, and {preset.name} is a flow of {wanted}")
    if flow.columns is None and not flow.is_image and bool(splits.train.isnan().any()):
        raise DataError(f"{preset.data.name}: has missing cells, which {preset.architecture} cannot take; table can")
    if preset.channels_last:
        flow = flow.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types three ways of four
    items = splits.train[: preset.initial_items]
    if flow.columns is not None:
        flow.fit_completion(items)
        flow.initialise(dequantise(flow, items.to(device), noise_keys(seed, 0, 0, len(items), device)))
    elif initialise or not flow.is_image:
        if preset.flip:  # twice as many items halve the error of a covariance
            items = torch.cat([items, items.flip(2)])
        flow.initialise(torch.cat([flow.to_continuous(batch, seed) for batch in torch.split(items, _BATCH)]))
    return TrainingState(flow, optimiser_of(flow, preset), copy.deepcopy(flow) if preset.ema_decay else None)
