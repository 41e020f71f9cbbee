"""Whether mirrored and turned pictures are ordinary ones, found out by a short training before the long one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from flows import bits_per_dim
from flows.architectures.lattice_flow import LatticeFlow
from trainer.pictures.crops import AS_THEY_ARE, Augmentation, changed, cut, large_enough
from trainer.pictures.dealing import Dealt
from trainer.pictures.folds import crops_of, experiment_of, trained_on
from trainer.pictures.plan import PicturePlan
from trainer.pictures.training import Run, held_out, trained
from trainer.run.run_directory import RunDirectory

FEW = 100
"""With fewer pictures it is tried whether changed copies can stand for more of them."""
SHARE = 1 / 8
"""The part of a budget of time, or of a flow's steps, that the trial takes."""
LEAST_STEPS = 150
"""Steps of the trial at least, where steps are given and a flow has as many.

On brick, turned pictures cost nothing after 50 steps and 0.157 bits/dim after 150.
"""
_CROPS = 4
"""Crops of each held-out picture."""
_ALLOWED = 0.02
"""Bits per dimension by which changed pictures may be less likely, together with what the trial cannot tell."""
_ERRORS = 1.64
"""Standard errors that are added to a cost: a change that costs ``_ALLOWED`` is accepted in 5 % of cases."""


class Difference(NamedTuple):
    """By how many bits per dimension changed pictures cost more than they do as they are."""

    mean: float
    error: float
    """Its standard error, by pictures."""

    @property
    def harmless(self) -> bool:
        """Whether the changed pictures are as likely as the others, as far as can be told."""
        return self.mean + _ERRORS * self.error < _ALLOWED


def tried(
    run: Run,
    plan: PicturePlan,
    pictures: Sequence[Tensor],
    parts: Dealt,
    *,
    seconds: float | None,
    seed: int,
    run_dir: RunDirectory | None,
    flip: bool | None,
    turn: bool | None,
) -> Augmentation:
    """The changes of crops that the long training will use.

    A flow is trained for a short time on pictures as they are. Where mirrored or turned pictures that it has not seen
    are as likely as the same pictures unchanged, the long training gets such crops too.

    ``flip`` and ``turn`` are the user's wishes; what is None is chosen. Raises StopRequested, or Diverged.
    """
    wanted = Augmentation(bool(flip), bool(turn))
    if flip is not None and turn is not None:
        return wanted
    if len(pictures) >= FEW:
        run.say(f"crops: {wanted.told}; {FEW} pictures or more need no changed copies (--flip, --turn)")
        return wanted
    if plan.place:
        run.say(f"crops: {wanted.told}, since the place matters (--flip, --turn)")
        return wanted
    steps = None if plan.steps is None else max(min(LEAST_STEPS, plan.steps), int(plan.steps * SHARE))
    run = replace(run, preset=replace(run.preset, model="trial of mirrored and turned pictures"))
    known, held = trained_on(plan, pictures, parts, 0, seed)
    crops = crops_of(plan, known, held, seed, AS_THEY_ARE)
    short = trained(
        run,
        crops,
        steps=steps,
        seconds=seconds and SHARE * seconds,
        seed=seed,
        directory=None if run_dir is None else run_dir.below("trial"),
        experiment=experiment_of(run, plan, pictures, parts, seed) | {"trial": steps},
    )
    unseen = large_enough([pictures[index] for index in (parts.folds == 0).nonzero().flatten().tolist()], plan.crop)
    found = {
        "flip": _difference(short.flow, unseen, plan.crop, seed, [(True, 0)]),
        "turn": _difference(short.flow, unseen, plan.crop, seed, [(False, quarters) for quarters in (1, 2, 3)]),
    }
    learnt = histogram_bits(crops.held) - float(bits_per_dim(short.best.validation, short.flow.dimensions))
    # With less it knows little of how neighbours go together, and hardly any change would cost it anything.
    enough = learnt > 0
    if not enough:
        run.say(
            f"the trial's flow tells pixels {-learnt:.2f} bits/dim worse than their histogram does: too little was "
            "learnt to say what is ordinary (--minutes, --steps)"
        )
    chosen = Augmentation(
        enough and found["flip"].harmless if flip is None else flip,
        enough and found["turn"].harmless if turn is None else turn,
    )
    for name, word in (("flip", "mirrored"), ("turn", "turned")):
        own = found[name]
        run.say(
            f"{word} pictures cost {own.mean:+.3f} bits/dim, standard error {own.error:.3f}, under a flow that has "
            f"seen none: {'they are ordinary' if enough and own.harmless else 'not ordinary, or not sure'} (--{name})"
        )
    run.say(f"crops: {chosen.told}")
    return chosen


def histogram_bits(crops: Tensor) -> float:
    """The entropy in bits per dimension of the grey levels of uint8 crops (N, S, S[, C]), mean of the colours."""
    by_colour = crops.reshape(*crops.shape[:3], -1).movedim(3, 0).flatten(1)
    each = []
    for levels in by_colour:
        shares = torch.bincount(levels.long(), minlength=256).double() / len(levels)
        each.append(-torch.special.xlogy(shares, shares).sum() / math.log(2))
    return float(torch.stack(each).mean())


def _difference(
    flow: LatticeFlow, pictures: Sequence[Tensor], side: int, seed: int, changes: Sequence[tuple[bool, int]]
) -> Difference:
    """Of held-out pictures, the mean over the changes: whether a crop is mirrored, and its quarter turns."""
    each = []
    for index, picture in enumerate(pictures):
        crops = cut([picture], side, _CROPS, seed + index).to(flow.device)
        plain = held_out(flow, crops, None).mean()
        others = torch.cat([torch.stack([changed(crop, *change) for crop in crops]) for change in changes])
        each.append(float(plain - held_out(flow, others, None).mean()) / (flow.dimensions * math.log(2)))
    found = torch.tensor(each, dtype=torch.float64)
    return Difference(float(found.mean()), float(found.std() / len(found) ** 0.5))
