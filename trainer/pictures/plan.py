"""What follows from the pictures that were found: the size to work at, crops, memory and time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from flows.anomaly.calibration import least_alpha
from flows.anomaly.pictures import HALVES
from pictures import BadPicture, Preparation
from trainer.data.picture_folder import FoundPictures
from trainer.errors import DataError
from trainer.pictures.crops import AS_THEY_ARE, Augmentation
from trainer.presets import Preset
from trainer.presets.pictures import PICTURES

LEAST_PICTURES = 30
FOLDS = 3
"""Flows, each trained on two thirds of the pictures. More folds would leave less time for each."""
PARTS = FOLDS * HALVES
"""Halves of all folds. A picture is judged by what is usual in the other half of its fold."""
_CROP = 64
"""The largest side of a crop that is trained on: the net looks 20 pixels far."""
_STEP = 8
_SMALL = 20
"""One of so many pictures may be smaller than a crop: a thumbnail among large pictures must not set the crop."""
_CROP_BYTES = 100 * 2**20
"""Memory for the crops of one fold."""
_MOST_CROPS = 3000
LEAST_SIZE = 16
"""The least longer side that can be asked for; smaller pictures are worked on as they are."""
_SIZE = 256
"""The longer side to work at by default: larger pictures take more time than half an hour."""
_MINUTES = ((64, 10.0), (256, 30.0))
"""The default budget, from the longer side: on a line between these, and constant beyond."""
_FLOW_BYTES, _TILE_BYTES = 400 * 2**20, 300 * 2**20
"""Memory of PyTorch with a flow and its optimiser, and of a tile in colour; both measured."""
_PIXEL_BYTES, _COLOUR_BYTES = 1800, 900
"""What a training step keeps for each pixel of its crops, and for each colour of it besides; measured."""


@dataclass(frozen=True)
class PicturePlan:
    """How a folder of pictures will be trained on."""

    found: FoundPictures
    preparation: Preparation
    sizes: tuple[tuple[int, int], ...]
    """Width and height of each picture as it will be worked on; pictures that become too narrow are not among them."""
    crop: int
    """The side of the crops that are trained on."""
    minutes: float | None
    """The budget of wall-clock time of the whole run; None where ``steps`` is given."""
    steps: int | None
    """Steps of each flow."""
    size: int
    """The longer side at which pictures are looked at, at most; that of new ones may be larger than any here."""
    place: bool = False
    """Whether nets are told what is usual at each place of a picture. Only of pictures of one size."""
    augmentation: Augmentation = AS_THEY_ARE
    scaled: int = 0
    """Pictures that are scaled down."""
    reductions: tuple[float, float] = (1.0, 1.0)
    """How many times larger pictures are than they are worked on: the least and the most."""
    scenes: tuple[int, ...] = ()
    """How many pictures show each scene, where they were compared."""
    known_scenes: bool = False
    """Whether new pictures will show these scenes: pictures of a scene need not stay in one fold then."""

    @property
    def item_shape(self) -> tuple[int, ...]:
        """The shape of a crop: what the model draws."""
        return (self.crop, self.crop) if self.preparation.colours == 1 else (self.crop, self.crop, 3)

    @property
    def crops(self) -> int:
        """Crops that are cut for each flow."""
        return max(64, min(_MOST_CROPS, _CROP_BYTES // math.prod(self.item_shape)))

    @property
    def same_size(self) -> bool:
        """Whether all pictures have one size."""
        return len(set(self.sizes)) == 1

    def preset(self, preset: Preset) -> Preset:
        """The preset with what follows from the pictures."""
        arguments = {**preset.arguments, "template": True} if self.place else preset.arguments
        return replace(preset, batch_size=min(preset.batch_size, self.crops), arguments=arguments)

    def told_of_place(self) -> str:
        """What was chosen about the place, for people."""
        if self.place:
            return "the pictures are aligned; nets are told what is usual at each place"
        if not self.same_size:
            return "nets do not know it; the pictures have several sizes"
        return "nets do not know it; what a place shows tells nothing of the same place in other pictures"

    def told_of_scenes(self) -> str:
        """What was found about scenes and follows from it, for people."""
        several = sum(size for size in self.scenes if size > 1)
        if not several:
            return "each picture shows something else"
        found = (
            f"{several:,} of {len(self.sizes):,} pictures show in part what others show (frames of a film, overlapping "
            f"crops, copies): {len(self.scenes):,} scenes in all"
        )
        if self.known_scenes:
            return (
                f"{found}. p-values are for new pictures of these scenes; those of other scenes may alarm more often "
                "than alpha says (--known-scenes)"
            )
        if self.least_alpha_of_scenes is None:
            return (
                f"{found}. Scenes stay together, but the largest has {max(self.scenes):,} pictures and is cut: "
                "pictures of other scenes may alarm more often than alpha says. Pictures of more places are better"
            )
        return (
            f"{found}. Scenes stay together, so p-values are for new scenes too, at an alpha of "
            f"{self.least_alpha_of_scenes:g} or more, and fewer faults alarm than by as many pictures of their own "
            "(--known-scenes: for these scenes alone)"
        )

    @property
    def least_alpha_of_scenes(self) -> float | None:
        """The smallest alpha at which p-values hold for new scenes, where that is not the one that pictures give.

        None where each picture shows something else, and where p-values are not for new scenes.
        """
        whole = 1 < max(self.scenes, default=1) <= len(self.sizes) // PARTS
        return least_alpha(len(self.scenes)) if whole and not self.known_scenes else None

    def told(self) -> list[str]:
        """What will be done, a line each, for people."""
        n = len(self.sizes)
        widths, heights = zip(*self.sizes, strict=True)
        pixels = sum(width * height for width, height in self.sizes)
        at = (
            f"{widths[0]}x{heights[0]}"
            if self.same_size
            else f"{min(widths)} to {max(widths)} wide, {min(heights)} to {max(heights)} high"
        )
        colours = self.preparation.colours
        step = min(PICTURES.batch_size, self.crops) * self.crop**2 * (_PIXEL_BYTES + _COLOUR_BYTES * colours)
        memory = _FLOW_BYTES + max(_TILE_BYTES * colours // 3, step) + 2 * _CROP_BYTES
        # All pictures, their readings, and for one judge of six a copy of these and their averages.
        memory += round(pixels * (colours + 4 * (8 + colours) * 4 / 3))
        small = sum(min(size) < self.crop for size in self.sizes)
        limit = f"about {self.minutes:g} minutes" if self.minutes is not None else f"{self.steps:,} steps of each flow"
        return [
            f"working size: {at}" + (f", {self.scaled:,} scaled down (--size)" if self.scaled else ", as they are"),
            f"{FOLDS} flows, each trained on crops of {self.crop}x{self.crop} from two thirds of the pictures",
            *([f"pictures smaller than a crop: {small}; they calibrate, but are not trained on"] if small else []),
            f"all {n:,} pictures calibrate: no p-value will be below 1 / {n + 1:,}; the smallest usable alpha is "
            f"{least_alpha(n):g}" + ("; an alpha of 0.01 needs at least 99 pictures" if n < 99 else ""),
            f"memory: about {memory / 2**30:.1f} GB; time: {limit} (--minutes)",
        ]


def planned(
    found: FoundPictures,
    *,
    size: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    crop: int | None = None,
) -> PicturePlan:
    """The plan for a folder. Raises DataError where too few pictures can be used, or too few are as large as a crop."""
    size = size or _SIZE
    preparation = Preparation(min(size, found.longest), found.colours, found.bits)
    sizes: list[tuple[int, int]] = []
    narrow: list[str] = []
    reductions: list[float] = []
    scaled = 0
    for each in found.sizes:
        try:
            own = preparation.size_of(*each)
        except BadPicture as error:
            narrow.append(str(error))
            continue
        sizes.append(own)
        scaled += own != each
        reductions.append(max(1.0, max(each) / max(own)))
    if len(sizes) < LEAST_PICTURES:
        raise DataError(
            f"{found.folder}: {len(sizes)} pictures can be used; at least {LEAST_PICTURES} are needed, and 99 for "
            "verdicts at an alpha of 0.01"
            + (f". {len(found.copies)} more are copies" if found.copies else "")
            + (f". {len(narrow)} are left out: the first {narrow[0]} (--size)" if narrow else "")
        )
    shortest = sorted(min(each) for each in sizes)[len(sizes) // _SMALL]
    if crop is None:
        # Smaller than the pictures, so that each gives many crops; but not so small that a net sees mostly borders.
        crop = shortest * 3 // 4 if shortest >= 2 * _STEP else shortest
        crop = max(_STEP, min(_CROP, crop // _STEP * _STEP))
    elif crop > shortest or crop % _STEP:
        raise DataError(
            f"--crop must be a multiple of {_STEP} and at most {shortest}, so that at most a twentieth of the pictures "
            f"are smaller, got {crop}"
        )
    if steps is None:
        minutes = minutes or default_minutes(max(map(max, sizes)))
    return PicturePlan(
        found,
        preparation,
        tuple(sizes),
        crop,
        None if steps else minutes,
        steps,
        size,
        scaled=scaled,
        reductions=(min(reductions), max(reductions)),
    )


def default_minutes(longest: int) -> float:
    """The default budget for pictures of this longer side."""
    (low, least), (high, most) = _MINUTES
    share = min(max((longest - low) / (high - low), 0.0), 1.0)
    return round(least + share * (most - least), 1)
