"""What is said before a table is trained on: its columns, what follows from their number, and what cannot be had."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainer.data import OwnData
from trainer.data.groups import repeated
from trainer.presets import Preset
from trainer.publish.row_calibration import ENOUGH_HELD_OUT

LEAST_ROWS = 40
"""Rows below which hardly anything can be said of a row that was not trained on."""


def told(preset: Preset) -> Iterator[str]:
    """Lines for people about the user's own table and how it will be trained; nothing for other data."""
    data = preset.data
    if not isinstance(data, OwnData) or data.schema is None:
        return
    yield from data.told()
    train, test = data.read(None)
    rows = len(train) + len(test)
    again = repeated(torch.cat([train, test]))
    if again:
        yield f"{again:,} rows are nearly the same as an earlier one; such rows stay on one side of every split"
    if rows < LEAST_ROWS:
        yield f"{rows} rows are few: with fewer than {LEAST_ROWS}, expect little of any verdict"
    # Of many rows only those of the test set calibrate, see trainer.publish.row_calibration.
    calibrating = len(test) if len(test) >= ENOUGH_HELD_OUT else rows
    yield (
        f"no p-value can be below 1 / {calibrating + 1:,} = {1 / (calibrating + 1):.2g}"
        + ("; an alpha of 0.01 needs at least 99 rows" if rows < 99 else "")
    )
    steps = preset.epochs * (preset.passes * len(train) // max(1, preset.batch_size))
    limit = f"{preset.minutes:g} minutes" if preset.minutes is not None else f"about {steps:,} steps"
    yield (
        f"{rows:,} rows, {len(data.schema)} columns: {limit} in batches of {preset.batch_size}, "
        f"{preset.arguments.get('couplings')} {preset.arguments.get('coupling', preset.architecture)} couplings"
    )
