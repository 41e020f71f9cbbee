"""Flows that each know nothing of one fold of the rows, for cross-conformal p-values (see flows.anomaly)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from flows import Flow
from trainer.data import Splits
from trainer.presets import Preset
from trainer.run.hooks import Hooks
from trainer.run.initial_state import fresh_state
from trainer.run.loop import train
from trainer.run.ranks import Ranks
from trainer.run.settings import Computing
from trainer.run.stacked_training import can_stack, train_stacked

FOLDS = 5
"""More folds leave each flow more rows to train on, and cost as much more time. Ten gave no better verdicts."""
_CHOOSING = 8
"""An eighth of the rows outside a fold chooses the epoch of the fold's flow; the other seven train it."""


def dealt(groups: Tensor, seed: int) -> Tensor:
    """The fold (N,) of each row, from the groups (N,) of rows that are nearly the same.

    A group is in one fold as a whole. The folds differ by at most one group; the seed decides which group is where.
    """
    _, places = torch.unique(groups, return_inverse=True)
    count = int(places.max()) + 1
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    folds: Tensor = (order % FOLDS)[places]
    return folds


def fold_flows(
    preset: Preset,
    splits: Splits,
    folds: Tensor,
    groups: Tensor,
    *,
    seed: int,
    device: torch.device,
    say: Callable[[str], None] = lambda _: None,
) -> list[Flow]:
    """A flow for each fold, trained as the preset says on the rows of the other folds.

    ``splits`` is of all N rows together, in its ``train``. Where a preset keeps the best epoch, an eighth of the rows
    that a flow may see chooses it, and is not trained on; the rows of its own fold do neither. Raises Diverged where a
    training does.
    """
    rows, states, parts = splits.train, [], []
    for fold in range(FOLDS):
        seen = (folds != fold).nonzero().flatten()
        kinds, places = torch.unique(groups[seen], return_inverse=True)
        draw = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(seed + fold))
        choosing = (draw < max(1, len(kinds) // _CHOOSING))[places]
        # Where the last epoch is kept, no rows are needed to choose one; the loop only reports on some.
        fitted = seen[~choosing] if preset.keep_best else seen
        own = replace(splits, train=rows[fitted], validation=rows[seen[choosing]], test=rows[:0])
        states.append(fresh_state(preset, own, seed + fold + 1, device))
        parts.append(own)
    preset = replace(preset, batch_size=min(preset.batch_size, *(len(part.train) for part in parts)))
    seeds = [seed + fold + 1 for fold in range(FOLDS)]
    if can_stack(preset, states[0].flow):
        say(f"calibration: training the flows of {FOLDS} folds")
        train_stacked([state.flow for state in states], parts, preset, seeds)
    else:
        for number, (state, own, its_seed) in enumerate(zip(states, parts, seeds, strict=True), 1):
            say(f"calibration: training the flow of fold {number} of {FOLDS}")
            computing = Computing(graph=False)
            train(state, own, preset, seed=its_seed, computing=computing, ranks=Ranks(device), hooks=Hooks())
            state.flow.load_state_dict(state.best)
    return [state.flow.eval().requires_grad_(False) for state in states]
