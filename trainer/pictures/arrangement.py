"""What pictures show in common, which decides how they are dealt and whether nets are told the place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from trainer.pictures.alignment import place_matters
from trainer.pictures.dealing import Dealt, dealt
from trainer.pictures.parting import scenes
from trainer.pictures.plan import PicturePlan
from trainer.pictures.scenes import alike


def arranged(
    plan: PicturePlan, pictures: Sequence[Tensor], seed: int, *, known_scenes: bool = False
) -> tuple[PicturePlan, Dealt]:
    """The plan with what was found about scenes and the place, and where each picture (H, W[, C]) belongs.

    With ``known_scenes`` pictures are dealt at random. The place is tried out on thirds that share no scene either way:
    pictures of a few fixed cameras resemble each other at every place, and are not aligned.
    """
    pairs, count = alike(pictures), len(pictures)
    apart = dealt(pairs, count, seed)
    plan = replace(
        plan,
        scenes=tuple(scenes(pairs, count).bincount().tolist()),
        known_scenes=known_scenes,
        place=plan.same_size and place_matters(pictures, apart.folds),
    )
    return plan, dealt(pairs[:0], count, seed) if known_scenes else apart
