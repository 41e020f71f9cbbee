"""The flows of a model of pictures: each is trained on crops of the pictures outside its fold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import torch
from torch import Tensor

from trainer.pictures.crops import Augmentation, large_enough, places, taken
from trainer.pictures.dealing import Dealt
from trainer.pictures.plan import FOLDS, PicturePlan
from trainer.pictures.templates import fitted, template_of, templates_by_half
from trainer.pictures.training import CropSplits, Run, TrainedFlow, trained
from trainer.run.device import choose_precision
from trainer.run.run_directory import RunDirectory

_CHOOSING = 8
"""An eighth of the pictures outside a fold chooses the weights to keep, and is not trained on."""
_CHECKED = 48
"""Crops of them."""


def trained_on(
    plan: PicturePlan, pictures: Sequence[Tensor], parts: Dealt, fold: int, seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The pictures that the flow of a fold is trained on, and those that choose its weights. Neither is in the fold.

    Pictures that are smaller than a crop are among neither.
    """
    fits = torch.tensor([bool(large_enough([picture], plan.crop)) for picture in pictures])
    known, held = parts.apart(fits & (parts.folds != fold), _CHOOSING, seed + fold)
    return [pictures[index] for index in known], [pictures[index] for index in held]


def template_of_fold(
    plan: PicturePlan, pictures: Sequence[Tensor], parts: Dealt, fold: int, seed: int
) -> Tensor | None:
    """The template of the flow of a fold, (h, w[, C]) uint8, or None where its nets do not know the place."""
    return template_of(trained_on(plan, pictures, parts, fold, seed)[0]) if plan.place else None


def crops_of(
    plan: PicturePlan, known: Sequence[Tensor], held: Sequence[Tensor], seed: int, augmentation: Augmentation
) -> CropSplits:
    """Crops of the pictures to train on, ``known``, and of those that choose the weights, which are not changed."""
    sizes = [(each.shape[0], each.shape[1]) for each in known]
    where = places(sizes, plan.crop, plan.crops, seed, augmentation)
    chosen = places([(each.shape[0], each.shape[1]) for each in held], plan.crop, _CHECKED, seed)
    crops = CropSplits(taken(known, plan.crop, where), taken(held, plan.crop, chosen))
    if not plan.place:
        return crops
    whole = fitted(template_of(known), known[0])
    return replace(
        crops,
        train_templates=taken(templates_by_half(known), plan.crop, where),
        held_templates=taken([whole] * len(held), plan.crop, chosen),
    )


def experiment_of(
    run: Run, plan: PicturePlan, pictures: Sequence[Tensor], parts: Dealt, seed: int
) -> dict[str, object]:
    """What must be the same for a flow that was finished before to be taken."""
    found: dict[str, object] = {
        "pictures": _digest(pictures),
        "seed": seed,
        "minutes": plan.minutes,
        "steps": plan.steps,
    }
    if max(plan.scenes, default=1) > 1:  # dealt in another way, a flow would judge what it was trained on
        found["scenes"] = "known" if plan.known_scenes else _digest([parts.folds, parts.pairs])
    if run.computing.precision != choose_precision(run.preset.precision, run.device):
        found["precision"] = run.computing.precision
    return found | {"arguments": dict(run.preset.arguments), "crop": plan.crop, "batch": run.preset.batch_size}


def _digest(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for each in tensors:
        digest.update(each.numpy().tobytes())
    return digest.hexdigest()


def train_folds(
    run: Run,
    plan: PicturePlan,
    pictures: Sequence[Tensor],
    parts: Dealt,
    *,
    seconds: float | None,
    seed: int,
    run_dir: RunDirectory | None,
) -> list[TrainedFlow]:
    """A flow for each fold. ``seconds`` are shared by them; None where the plan gives a number of steps.

    A fold that was finished in ``run_dir`` before, on the same pictures and with the same wishes, is not trained again.
    Raises StopRequested, or Diverged.
    """
    spent, found = 0.0, []
    changes = plan.augmentation
    experiment = experiment_of(run, plan, pictures, parts, seed) | {"flip": changes.flip, "turn": changes.turn}
    for fold in range(FOLDS):
        began = perf_counter()
        left = None if seconds is None else (seconds - spent) / (FOLDS - fold)
        found.append(
            trained(
                replace(run, preset=replace(run.preset, model=f"fold {fold + 1} of {FOLDS}")),
                crops_of(plan, *trained_on(plan, pictures, parts, fold, seed), seed + fold, changes),
                steps=plan.steps,
                seconds=left,
                seed=seed + fold,
                directory=None if run_dir is None else run_dir.below(f"fold-{fold + 1}"),
                experiment=experiment | {"fold": fold},
            )
        )
        # A flow that was finished before took its time then: flows that are judged together learn for as long.
        spent += max(perf_counter() - began, found[-1].seconds)
    return found
