"""What is usual at a place of a picture, from several readings at once, and how strange each place is.

Each pixel has readings (see ``flows.anomaly.readings``). What is usual at its place is subtracted, and what is left is
averaged over Gaussian windows of several widths. How far out an average is among those of ordinary pictures is told by
a few kinds of places (see ``flows.anomaly.kinds``): a blurred place may be as likely as others, but not at its lack of
contrast. How rare a distance is, is read from the places of ordinary pictures, for each window. A place's score is the
mean of its windows. At a border a window has fewer pixels, whose average is damped: else the strangest places of
ordinary pictures would lie there.

The colours are judged apart from the other readings, and a window counts the rarer of both, of the colours half: how
bright ordinary places are varies most of all, so together with the rest they would hide more than they tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.anomaly.curves import KNOTS, Curve, log_shares, quantiles
from flows.anomaly.kinds import Kinds
from flows.anomaly.places import BEYOND, HUGE, ZONES, blurred, mean_by_zone, readable, zones
from flows.errors import ShapeMismatch

_COLOURS_COUNT = 0.5
_LONGEST = 128
"""Pixels of the longer side of a stored mean of each place, at most: it is stored for each judge and reading."""
_STEP = 1.4
"""The width of a window over the distance between its averages, about: they vary no faster."""
_KEPT = 2**20
"""Values of what is usual in a picture of the last size that are kept, at most."""
_GROUPS = ("texture.", "colours.")


class Typical:
    """What ordinary pictures look like at their places, under one flow.

    ``mean`` (F, ZONES, ZONES) is by kind of row and column, or (F, h, w) of aligned pictures of ``size`` (height,
    width), scaled down where they are large. ``kinds`` are of all readings but the colours, and of the colours, if
    there are any. ``tail`` (Q,) are scores that ever smaller shares of places exceed. ``rarest`` (S,) is -log10 of the
    rarest of the shares that curves are read to. Raises ValueError for tensors that do not fit.

    A model that was published before there were kinds has one kind of all readings. The score of a place is that of its
    rarest window then (``pooled`` is false), and averages are taken at every pixel. Of models
    that were published before there was damping, averages at borders are not ``damped``.

    >>> generator = torch.Generator().manual_seed(0)
    >>> pictures = [torch.randn(2, 24, 20 + k, generator=generator) for k in range(6)]
    >>> typical = flows.anomaly.typical.Typical.of(pictures, flows.anomaly.places.widths_for(20))
    >>> spot = torch.randn(2, 30, 40, generator=generator)
    >>> spot[0, 10:14, 20:24] -= 4
    >>> scores = typical.scores(spot)
    >>> bool(scores[12, 22] > 3), bool(scores[25, 5] < 3)
    (True, True)
    """

    def __init__(
        self,
        widths: Sequence[float],
        mean: Tensor,
        kinds: Sequence[Kinds],
        tail: Tensor,
        rarest: Sequence[float],
        size: tuple[int, int] | None = None,
        *,
        pooled: bool = True,
        damped: bool = True,
    ) -> None:
        self.widths, self.rarest, self.size = tuple(widths), [float(each) for each in rarest], size
        self.kinds, self.pooled, self.damped = list(kinds), pooled, damped
        if mean.ndim != 3 or sum(each.readings for each in kinds) != len(mean):
            raise ValueError("what is usual at a place does not fit its readings")
        if any(len(each.tails) != len(self.widths) for each in kinds):
            raise ValueError("the tails of a map do not fit its windows")
        if size is None and tuple(mean.shape[1:]) != (ZONES, ZONES):
            raise ValueError("what is usual must be of each kind of place, or of aligned pictures of one size")
        if tail.shape != (KNOTS,) or not bool((tail.diff() > 0).all()):
            raise ValueError("the tail of a map must rise")
        if len(self.rarest) != len(self.widths) or not all(0 < each < 10 for each in self.rarest):
            raise ValueError("each window needs the rarest share that its curve was read to")
        self.mean, self.tail = mean.float(), tail.float()
        self._curve = Curve(tail, log_shares(mean.device, self.rarest[0]), BEYOND)
        self._kept: tuple[tuple[int, int], Sequence[Tensor]] = ((0, 0), ())

    @classmethod
    def of(
        cls, pictures: Sequence[Tensor], widths: Sequence[float], *, colours: int = 0, aligned: bool = False
    ) -> Typical:
        """From readings (F, H, W) of ordinary pictures; of one size where they are ``aligned``.

        The last ``colours`` readings are the colours, where there are others too.
        """
        size = (pictures[0].shape[1], pictures[0].shape[2]) if aligned else None
        mean = _mean_of_places(pictures) if aligned else _mean_of_kinds(pictures)
        rarest = [readable(sum(each[0].numel() for each in pictures), width) for width in widths]
        by_picture = [
            _deviations(averages_of(one, widths), averages_of(_usual_at(mean, size, *one.shape[1:]), widths))
            for one in pictures
        ]
        averages = [torch.cat([part.flatten(1) for part in parts], dim=1) for parts in zip(*by_picture, strict=True)]
        apart = len(mean) - colours
        groups = [slice(0, apart), slice(apart, None)] if colours and apart > 0 else [slice(None)]
        kinds = [Kinds.of([own[group] for own in averages], rarest) for group in groups]
        draft = cls(widths, mean, kinds, torch.linspace(0, 1, KNOTS, device=mean.device), rarest, size)
        scores = torch.cat([draft.scores(each).flatten() for each in pictures])
        return cls(widths, mean, kinds, quantiles(scores, rarest[0]), rarest, size)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str) -> Typical:
        """From what ``tensors`` gave. Raises ValueError, and KeyError for a missing tensor."""
        rarest, size = tensors[f"{prefix}rarest"].flatten().tolist(), tensors[f"{prefix}size"].flatten().tolist()
        if len(size) not in (0, 2) or any(side < 1 for side in size):
            raise ValueError(f"{prefix}size must be a height and a width, or empty")
        before = f"{prefix}factor" in tensors
        if before:  # published when there was one kind of places
            centre, factor = tensors[f"{prefix}centre_of_readings"][:, None], tensors[f"{prefix}factor"][:, None]
            kinds = [Kinds(centre.new_zeros(centre.shape[:2]), centre, factor, tensors[f"{prefix}tails"], rarest)]
        else:
            groups = [group for group in _GROUPS if f"{prefix}{group}centre" in tensors]
            kinds = [Kinds.from_tensors(tensors, f"{prefix}{group}", rarest) for group in groups]
        return cls(
            tensors["widths"].tolist(),
            tensors[f"{prefix}mean"],
            kinds,
            tensors[f"{prefix}tail"],
            rarest,
            (size[0], size[1]) if size else None,
            pooled=not before,
            damped=f"{prefix}damped" in tensors,
        )

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What a store keeps; the widths of the windows are common to all."""
        found = {
            f"{prefix}mean": self.mean.half().cpu(),
            f"{prefix}tail": self.tail.cpu(),
            f"{prefix}rarest": torch.tensor(self.rarest, dtype=torch.float64),
            f"{prefix}size": torch.tensor(self.size or [], dtype=torch.int32),
        }
        if self.damped:
            found[f"{prefix}damped"] = torch.tensor(True)
        if not self.pooled:
            own = self.kinds[0]
            before = {"centre_of_readings": own.centre[:, 0], "factor": own.factor[:, 0], "tails": own.tails}
            return found | {f"{prefix}{name}": each.cpu() for name, each in before.items()}
        for group, kinds in zip(_GROUPS, self.kinds, strict=False):
            found |= kinds.tensors(f"{prefix}{group}")
        return found

    @property
    def aligned(self) -> bool:
        """Whether each place has a mean of its own."""
        return self.size is not None

    def averages(self, found: Tensor) -> list[Tensor]:
        """Readings (F, H, W) of a picture averaged over each window: (F, h, w), all that ``scores`` needs of them.

        It is the same of all judges of a model.
        """
        return averages_of(found, self.widths, every_pixel=not self.pooled, damped=self.damped)

    def scores(self, found: Tensor, averages: Sequence[Tensor] | None = None) -> Tensor:
        """How rare places of ordinary pictures are that are as far out, (H, W), of the readings (F, H, W) of a picture.

        It is -log10 of their share, mean of the windows. ``averages`` of the readings are computed where they are not
        given. Raises ShapeMismatch for another size than that of aligned pictures.
        """
        averages = self.averages(found) if averages is None else averages
        total: Tensor | None = None
        for window, deviation in enumerate(_deviations(averages, self._usual(found.shape[1], found.shape[2]))):
            own = self._of_window(deviation.flatten(1), window).reshape(1, 1, *deviation.shape[1:])
            if own.shape[2:] != found.shape[1:]:
                own = functional.interpolate(own, size=found.shape[1:], mode="bilinear", align_corners=False)
            total = own if total is None else total.add_(own) if self.pooled else torch.maximum(total, own)
        assert total is not None
        return total[0, 0] / (len(self.widths) if self.pooled else 1)

    def _usual(self, height: int, width: int) -> Sequence[Tensor]:
        """The averages (F, h, w) over each window of what is usual in a picture of this size."""
        size, kept = self._kept
        if size == (height, width):
            return kept
        found = self.averages(_usual_at(self.mean, self.size, height, width))
        if len(self.mean) * height * width <= _KEPT:
            self._kept = (height, width), found
        return found

    def _of_window(self, averages: Tensor, window: int) -> Tensor:
        texture, *colours = self.kinds
        own = texture.rarity(averages[: texture.readings], window)
        for kinds in colours:
            own = torch.maximum(own, _COLOURS_COUNT * kinds.rarity(averages[texture.readings :], window))
        return own

    def rarity(self, scores: Tensor) -> Tensor:
        """-log10 of the share of places of ordinary pictures with such scores, of any shape."""
        return self._curve.at(scores)


def step_of(width: float) -> int:
    """How many pixels apart averages over a window are taken."""
    return max(1, round(width / _STEP))


def averages_of(
    found: Tensor, widths: Sequence[float], *, every_pixel: bool = False, damped: bool = True
) -> list[Tensor]:
    """Readings (F, H, W) averaged over each window, (F, h, w). What is not finite is far below.

    One reading after another: that takes less memory, and PyTorch takes threads for a batch of products, which beside a
    busy process can take many times as long as one.
    """
    steps = [1 if every_pixel else step_of(width) for width in widths]
    height, width = found.shape[1:]
    results = [found.new_empty(len(found), math.ceil(height / step), math.ceil(width / step)) for step in steps]
    for k, own in enumerate(found):
        bounded = own.nan_to_num(nan=-HUGE, posinf=HUGE, neginf=-HUGE).clamp_(-HUGE, HUGE)
        for result, window, step in zip(results, widths, steps, strict=True):
            result[k] = blurred(bounded, window, step, damped=damped)
    return results


def _deviations(averages: Sequence[Tensor], usual: Sequence[Tensor]) -> Iterator[Tensor]:
    """Averages (F, h, w) less the usual ones, window after window."""
    return (own - other for own, other in zip(averages, usual, strict=True))


def _usual_at(mean: Tensor, size: tuple[int, int] | None, height: int, width: int) -> Tensor:
    """The usual readings (F, H, W) of each place of a picture, from the ``mean`` of a ``Typical``.

    Raises ShapeMismatch for another size than that of aligned pictures.
    """
    if size is None:
        rows, columns = zones(height).to(mean.device), zones(width).to(mean.device)
        return mean[:, rows][:, :, columns]
    if size != (height, width):
        raise ShapeMismatch(f"the model's pictures are aligned and {size[1]}x{size[0]}, not {width}x{height}")
    if tuple(mean.shape[1:]) == size:
        return mean
    return functional.interpolate(mean[None], size=size, mode="bilinear", align_corners=False)[0]


def _mean_of_kinds(pictures: Sequence[Tensor]) -> Tensor:
    """(F, ZONES, ZONES), rounded as it is stored."""
    return torch.stack([mean_by_zone([each[k] for each in pictures]) for k in range(len(pictures[0]))]).half().float()


def _mean_of_places(pictures: Sequence[Tensor]) -> Tensor:
    """(F, h, w) at a bounded size, rounded as it is stored."""
    mean = torch.stack(list(pictures)).mean(dim=0)
    share = _LONGEST / max(mean.shape[1:])
    if share < 1:
        size = [max(1, round(side * share)) for side in mean.shape[1:]]
        mean = functional.interpolate(mean[None], size=size, mode="area")[0]
    return mean.half().float()
