"""Cross-conformal p-values of pictures of any size, and of their places, for which every picture calibrates.

The pictures are dealt into K folds, and each fold into two halves. Flow k knows nothing of fold k. A *judge* (k, h)
scores pictures by flow k and by what is usual in the half of fold k that is not h; so it knows nothing of half h. With
j(i) the judge that knows nothing of picture i, and s_j its nonconformity scores, the p-value of a picture x is

    p(x) = (1 + #{i : s_j(i)(i) >= s_j(i)(x)}) / (n + 1)

(Vovk 2015, "Cross-conformal predictors", equation 3; Barber et al. 2021, "Predictive inference with the jackknife+",
section 3.3). The p-value of a place compares its score with the highest scores of the ordinary pictures, so of ordinary
pictures about a share alpha, or fewer, have any place where it is at most alpha. Pictures count, not their tiles or
pixels: those of one picture resemble each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.areas import over_areas
from flows.anomaly.calibration import GroupVerdict, Verdict, group_verdicts, precision_of
from flows.anomaly.judges import Judge
from flows.anomaly.places import widths_for
from flows.anomaly.readings import of_flow, of_picture, of_picture_before_contrasts, readings
from flows.anomaly.statistics import Test
from flows.anomaly.typical import Typical
from flows.tiles import TiledDensity

PICTURE_STATISTICS: Mapping[str, str] = {
    "log_likelihood": "log p(x), nats",
    "rarest_place": "-log10 of the share of places of ordinary pictures that are as strange as the strangest place",
    "strange_areas": "the same, a mean over places of which the strangest weigh most, small and large areas alike",
}
"""The name and meaning of every statistic of a picture."""
PICTURE_TESTS = (
    Test("likelihood", ("log_likelihood",)),
    Test("places", ("rarest_place",)),
    Test("areas", ("strange_areas",)),
)
"""Of a model that was published before the test of areas, the first two alone."""
_TESTS_BEFORE_AREAS = 2
LEAST_PICTURES = 20
"""The smallest p-value of 19 is 0.05 itself; of fewer none would reach it."""
HALVES = 2


def read(density: TiledDensity, picture: Tensor, seed: int | Tensor = 0) -> Tensor:
    """The readings (F, H, W) of the pixels of a uint8 picture (H, W[, C]) under one flow."""
    x = density.to_continuous(picture, seed)
    return readings(x, *density.pixel_statistics(x))


class PictureAssessment(NamedTuple):
    """What a calibration says of one picture."""

    log_likelihood: Tensor
    """() float64: nats, of the density whose conditional density of each pixel is the mean of the flows'."""
    statistics: Tensor
    """(T,) float64, in the order of the tests."""
    verdict: Verdict
    """Of B = 1 picture."""
    rarity: Tensor
    """(H, W) float32: -log10 of the share of places of ordinary pictures that are as strange, the judges' mean share.

    So no place is rare that one judge finds usual: each knows a few pictures, which may all be of one scene.
    """
    place_p_value: Tensor
    """(H, W) float64."""


class PictureCalibration:
    """Flows, judges, and the scores of n ordinary pictures, each under the judge that knows nothing of it.

    The flows have the same arguments. ``scores`` (n, T + 1) are of the tests and of all together, ``maxima`` (n,) the
    highest scores of places; ``judged`` (n,) tells which judge they are of. Raises ValueError for tensors that do not
    fit.

    >>> flow = flows.lattice((16, 16), width=4, blocks=1, components=2, joint=True, anywhere=True).eval()
    >>> densities = [flows.tiles.TiledDensity(flow)] * 3
    >>> generator = torch.Generator().manual_seed(0)
    >>> pictures = [torch.randint(90, 160, (16, 20), generator=generator).byte() for _ in range(30)]
    >>> calibration = flows.anomaly.PictureCalibration.of(densities, pictures, torch.arange(30) % 3)
    >>> calibration
    PictureCalibration(flows=3, aligned=False, held_out=30)
    >>> faulty = torch.full((24, 20), 120).byte()
    >>> faulty[6:14, 6:14] = 0
    >>> calibration.assess(faulty).verdict.p_value == 1 / 31
    tensor([True])
    """

    def __init__(
        self,
        densities: Sequence[TiledDensity],
        judges: Sequence[Judge],
        scores: Tensor,
        maxima: Tensor,
        judged: Tensor,
        log_likelihoods: Tensor,
    ) -> None:
        n, columns = len(scores), len(PICTURE_TESTS) + 1
        if scores.ndim != 2 or not _TESTS_BEFORE_AREAS < scores.shape[1] <= columns or n < LEAST_PICTURES:
            raise ValueError(f"a calibration needs {columns} scores of at least {LEAST_PICTURES} pictures")
        if any(judge.centre.shape[1] != scores.shape[1] - 1 for judge in judges):
            raise ValueError("each judge needs a middle and a spread of each test")
        if not maxima.shape == judged.shape == log_likelihoods.shape == (n,) or not densities:
            raise ValueError("each calibrating picture needs a highest score, a likelihood and a judge")
        if set(judged.tolist()) - set(range(len(judges))) or any(judge.fold >= len(densities) for judge in judges):
            raise ValueError("each calibrating picture needs the number of the judge that judges it")
        self.densities, self.judges, self.judged = list(densities), list(judges), judged.cpu()
        self.log_likelihoods = log_likelihoods.cpu()
        for density in self.densities:
            density.share_masks(self.densities[0])
        device = densities[0].flow.device
        self.scores, self.maxima = scores.double().to(device), maxima.double().to(device)
        mine = [(self.judged == number).to(device) for number in range(len(judges))]
        self._sorted = [self.scores[own].T.sort(dim=1).values.contiguous() for own in mine]
        self._maxima = [self.maxima[own].float().sort().values for own in mine]
        quantiles = torch.arange(1, 2 * n + 2, device=device).double() / (2 * (n + 1))
        self._normal_score_of = torch.special.ndtri(quantiles)
        values = self.scores[:, :-1].T.contiguous()
        pooled = values.sort(dim=1).values
        ranks = torch.searchsorted(pooled, values) + torch.searchsorted(pooled, values, right=True)
        self._precision = precision_of(self._normal_score_of[ranks].T.cpu())

    @classmethod
    @torch.no_grad()
    def of(
        cls, densities: Sequence[TiledDensity], pictures: Sequence[Tensor], folds: Tensor, *, aligned: bool = False
    ) -> PictureCalibration:
        """From a flow for each fold and uint8 pictures (H, W[, C]); ``folds`` (n,) holds the fold of each picture."""
        found = [read(densities[fold], picture) for picture, fold in zip(pictures, folds.tolist(), strict=True)]
        return cls.of_readings(densities, found, folds, aligned=aligned)

    @classmethod
    def of_readings(
        cls,
        densities: Sequence[TiledDensity],
        found: Sequence[Tensor],
        folds: Tensor,
        *,
        halves: Tensor | None = None,
        aligned: bool = False,
    ) -> PictureCalibration:
        """``of``, where the readings (F, H, W) of each picture's pixels under its fold's flow are known.

        ``halves`` (n,) are the halves of the folds; without them the pictures of a fold take turns. The readings may
        be on the CPU, for less memory of the flows' device, on which the result works.
        """
        dealt = [
            torch.arange(int((folds == fold).sum())) % HALVES if halves is None else halves[folds == fold]
            for fold in range(len(densities))
        ]
        if any(len(set(part.tolist())) < HALVES for part in dealt):
            raise ValueError("every fold needs a picture in each of its halves")
        widths = widths_for(sorted(min(each.shape[1:]) for each in found)[len(found) // 2])
        judges: list[Judge] = []
        colours = math.prod(densities[0].flow.item_shape[2:])
        judged = torch.zeros(len(found), dtype=torch.long)
        scores = torch.zeros(len(found), len(PICTURE_TESTS) + 1, dtype=torch.float64)
        maxima = torch.zeros(len(found), dtype=torch.float64)
        for fold, part in enumerate(dealt):
            own = (folds == fold).nonzero().flatten()
            for half in range(HALVES):
                known = [found[index] for index in own[part != half].tolist()]
                judge = Judge.of(fold, known, widths, colours=colours, aligned=aligned)
                for index in own[part == half].tolist():
                    places = judge.places(found[index])
                    scores[index] = judge.test_scores(found[index][0], places).cpu()
                    maxima[index], judged[index] = float(places.max()), len(judges)
                judges.append(judge)
        likelihoods = torch.stack([each[0].double().sum().cpu() for each in found])
        made = cls(densities, judges, scores.float(), maxima.float(), judged, likelihoods.float())
        # Rounded as it is stored, and its judges on the flows' device, wherever the readings are.
        return cls.from_tensors(densities, made.tensors())

    @classmethod
    def from_tensors(cls, densities: Sequence[TiledDensity], tensors: Mapping[str, Tensor]) -> PictureCalibration:
        """From what ``tensors`` gave and the flows. Raises ValueError, and KeyError for a missing tensor."""
        for number, density in enumerate(densities):
            name = f"template.{number}"
            if density.flow.takes_template != (name in tensors):
                raise ValueError(f"{name} must be there for a flow that takes one, and for no other")
            if name in tensors:
                density.take_template(tensors[name])
        device = densities[0].flow.device
        judges = [
            Judge.from_tensors(number // HALVES, tensors, f"judge.{number}.", device)
            for number in range(HALVES * len(densities))
        ]
        return cls(
            densities,
            judges,
            tensors["held_out"],
            tensors["maxima"],
            tensors["judged"].long(),
            tensors["log_likelihoods"],
        )

    def tensors(self) -> dict[str, Tensor]:
        """What a store keeps, besides the weights of the flows."""
        found = {
            "held_out": self.scores.float().cpu(),
            "maxima": self.maxima.float().cpu(),
            "judged": self.judged.int(),
            "log_likelihoods": self.log_likelihoods,
            "widths": torch.tensor(self.judges[0].usual.widths, dtype=torch.float64),
        }
        for number, density in enumerate(self.densities):
            if density.template is not None:
                found[f"template.{number}"] = density.template.cpu()
        for number, judge in enumerate(self.judges):
            found |= judge.tensors(f"judge.{number}.")
        return found

    @property
    def size(self) -> int:
        """n, the number of calibrating pictures. No p-value is below 1 / (n + 1)."""
        return len(self.scores)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many calibrating pictures each judge ranks a picture among."""
        return tuple(ordered.shape[1] for ordered in self._sorted)

    @property
    def tests(self) -> tuple[Test, ...]:
        """The tests that make up a verdict."""
        return PICTURE_TESTS[: self.scores.shape[1] - 1]

    @property
    def fit(self) -> int:
        """The number of pictures that tell what is usual: all of them, each for the others."""
        return self.size

    @property
    def aligned(self) -> bool:
        """Whether each place is compared with the same place of other pictures."""
        return self.judges[0].usual.aligned

    @property
    def aligned_size(self) -> tuple[int, int] | None:
        """Height and width of aligned pictures: the only size that can be judged. None where any size can."""
        return self.judges[0].usual.size

    @property
    def ordinary_scores(self) -> Tensor:
        """The nonconformity scores (n,) of the calibrating pictures, ascending, each under the judge that judges it."""
        return self.scores[:, -1].sort().values

    def held_out(self, statistic: str) -> Tensor:
        """The log-likelihoods (n,) in nats of the calibrating pictures, each under the flow that knows nothing of it.

        Raises KeyError for any other statistic.
        """
        return {"log_likelihood": self.log_likelihoods.double()}[statistic]

    def log_densities(self, picture: Tensor, seed: int | Tensor = 0) -> Tensor:
        """The log-densities (K, H, W) of a picture's pixels under each flow."""
        x = self.densities[0].to_continuous(picture, seed)
        return torch.stack([density.pixel_log_densities(x) for density in self.densities])

    def readings(self, picture: Tensor, seed: int | Tensor = 0) -> Iterator[Tensor]:
        """The readings (F, H, W) of a picture's pixels under each of the K flows, one after another.

        See ``flows.anomaly.readings``. Those of a large picture under all flows would take much memory.
        """
        x = self.densities[0].to_continuous(picture, seed)
        own = (of_picture if self._contrasts else of_picture_before_contrasts)(x)
        for density in self.densities:
            yield torch.cat([of_flow(*density.pixel_statistics(x)), own])

    @property
    def _contrasts(self) -> bool:
        """Whether the judges take contrasts: those of models that were published before do not."""
        usual, colours = self.judges[0].usual, math.prod(self.densities[0].flow.item_shape[2:])
        return isinstance(usual, Typical) and len(usual.mean) != 3 + colours

    def log_likelihood(self, densities: Tensor) -> Tensor:
        """Log-densities (K, H, W) under each flow -> the log-likelihood () of the picture, in nats."""
        total: Tensor = (densities.double().logsumexp(dim=0) - torch.tensor(float(len(densities))).log()).sum()
        return total

    def assess(self, picture: Tensor, seed: int | Tensor = 0) -> PictureAssessment:
        """The verdict on one uint8 picture (H, W[, C]), and its map."""
        return self.assess_readings(self.readings(picture, seed))

    @torch.no_grad()
    def assess_readings(self, found: Iterable[Tensor]) -> PictureAssessment:
        """``assess``, where the readings (F, H, W) under each flow are known."""
        columns = self.scores.shape[1]
        at_least, above = torch.zeros(2, columns, dtype=torch.long, device=self.scores.device).unbind(0)
        more, shares = torch.zeros((), dtype=torch.long), torch.tensor(-math.inf)
        densities, each_ranks = [], []
        for fold, own in enumerate(found):
            densities.append(own[0].clone())  # a view would keep all readings of the fold
            averages = self.judges[0].averages(own)
            for judge, ordered, maxima in zip(self.judges, self._sorted, self._maxima, strict=True):
                if judge.fold != fold:
                    continue
                places = judge.places(own, averages)
                shares = torch.logaddexp(shares, -math.log(10) * judge.usual.rarity(places))
                more = more + len(maxima) - torch.searchsorted(maxima, places.contiguous())
                scores = judge.test_scores(own[0], places).float().double()[:, None].contiguous()
                lower = torch.searchsorted(ordered, scores)[:, 0]
                lower_or_equal = torch.searchsorted(ordered, scores, right=True)[:, 0]
                at_least += ordered.shape[1] - lower
                above += ordered.shape[1] - lower_or_equal
                each_ranks.append(torch.stack([lower, lower_or_equal], dim=1).roll(1, dims=0))
        rarity = ((math.log(len(self.judges)) - shares) / math.log(10)).clamp_min(0)
        p_values = (1 + at_least).double() / (self.size + 1)
        ranks = (2 * self.size - at_least - above)[:-1]
        likelihood = self.log_likelihood(torch.stack(densities))
        return PictureAssessment(
            likelihood,
            torch.stack([likelihood, rarity.max().double(), over_areas(rarity)][: columns - 1]),
            Verdict(
                p_values[-1:],
                {test.name: p_values[k : k + 1] for k, test in enumerate(self.tests)},
                self._normal_score_of.index_select(0, ranks)[None],
                torch.stack(each_ranks)[None],
            ),
            rarity,
            (1 + more).double() / (self.size + 1),
        )

    def judge_group(self, scores: Tensor) -> GroupVerdict:
        """As ``Calibration.judge_group``."""
        return self.judge_groups(scores, [len(scores)])[0]

    def judge_groups(self, scores: Tensor, lengths: Sequence[int]) -> list[GroupVerdict]:
        """As ``Calibration.judge_groups``."""
        return group_verdicts(scores, lengths, self._precision, self.size)

    def __repr__(self) -> str:
        return f"PictureCalibration(flows={len(self.densities)}, aligned={self.aligned}, held_out={self.size})"
