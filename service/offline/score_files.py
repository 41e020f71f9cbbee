"""What `sluice score` writes: scores of files, batch by batch, and a reason for what cannot be scored."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from msgspec import UNSET

from model_store import LoadedModel
from service.commands.style import bar
from service.device import hardware
from service.device.descriptions import info_of
from service.media.any_pictures import notes_on, preparation_of
from service.media.documents import ColumnContribution, GroupScore, ItemScore, alpha_reachable, group_score, item_scores
from service.media.explanations import Wish as Explained
from service.media.explanations import column_contributions, explained, with_contributions
from service.media.items import ItemSpec
from service.media.npy import Array
from service.media.regions import Region
from service.offline import histogram
from service.offline.map_files import MapFolder, refuse_maps_among_inputs
from service.offline.outputs import Row, Writer, writer_to
from service.offline.overwriting import refuse_file_among_inputs
from service.offline.picture_sources import ENDINGS as PICTURE_ENDINGS
from service.offline.picture_sources import picture_sources
from service.offline.scorer import Scorer, scorer_of
from service.offline.sources import ENDINGS, Batch, Source, sources
from service.offline.unusable import UnusableFile
from service.protocol.messages import Arrays
from service.protocol.model_info import ModelInfo
from service.settings import Settings

Told = dict[int, list[ColumnContribution]]
"""What columns contribute, by the places of explained items among those that could be scored."""


class Wish(NamedTuple):
    """What the options ask for."""

    alpha: float
    fdr: float | None
    fit: bool
    seed: int
    form: str
    output: Path | None
    picture: Path | None
    explain: Explained
    maps: Path | None


async def score_files(
    loaded: LoadedModel, files: Sequence[Path], settings: Settings, wish: Wish
) -> tuple[str, int, int]:
    """Score the files into the output; a summary, and how many items are anomalous, and how many were not scored.

    Raises UnusableFile.
    """
    if wish.picture is not None:
        histogram.require(loaded)
    info = info_of(loaded, ())
    if wish.maps is not None and info.map is None:
        raise UnusableFile(
            f"--maps: {loaded.reference} has no map of where a picture is strange; sluice-calibrate adds one"
        )
    if wish.maps is not None:
        refuse_maps_among_inputs(wish.maps, files)
    known = ENDINGS if info.pictures is None else PICTURE_ENDINGS
    for option, output in (("--output", wish.output), ("--histogram", wish.picture)):
        if output is not None:
            refuse_file_among_inputs(option, output, files, known)
    found = _sources_for(info, files, wish)
    count = sum(source.count for source in found)
    folder = None if wish.maps is None else MapFolder(wish.maps, wish.alpha)
    async with scorer_of(loaded, settings, wish.seed, maps=folder is not None) as scorer:
        rows = settings.max_batch_rows or hardware.batch_rows(loaded.flow.device)
        with (
            writer_to(wish.output, sys.stdout.buffer, wish.form, info) as writer,
            bar(count, "scoring", "items") as move,
        ):
            looked_at = _LookedAt()
            batches = looked_at.noting(_batches(found, rows))
            unscored = await _write_all(writer, scorer, folder, batches, move, wish)
    if wish.picture is not None:
        histogram.draw(wish.picture, loaded, scorer.log_likelihoods, scorer.p_values)
    if not scorer.count:
        raise UnusableFile(f"none of the {count:,} rows could be scored; the reasons are in the output")
    together = group_score(info, scorer.log_likelihoods, scorer.group_p_value(), wish.alpha, scorer.dimensions)
    anomalous = int((scorer.p_values <= wish.alpha).sum())
    unusable = f"{unscored:,} more without scores, whose reasons are in the output; " if unscored else ""
    summary = _summary(info, together, f"{unusable}{_verdicts(info, anomalous, wish.alpha)}")
    return "\n".join([summary, *(f"note: {note}" for note in looked_at.notes(info))]), anomalous, unscored


def require_verdicts(loaded: LoadedModel, alpha: float) -> None:
    """Raises UnusableFile where the model calls no item anomalous, whatever it is, so that nobody waits for alarms."""
    info = info_of(loaded, ())
    if not alpha_reachable(info, alpha):
        raise UnusableFile(f"--fail-anomalous: {_no_verdict(info, alpha)}")


class _LookedAt:
    """The sides and scales of pictures of any size that could be scored, to tell how they differ from the model's."""

    def __init__(self) -> None:
        self._sides: list[Array] = []
        self._scale: list[Array] = []

    def noting(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; a few numbers of each picture are kept."""
        for batch in batches:
            if batch.sent is not None:
                usable = [row for row in range(len(batch.places)) if row not in batch.faults]
                self._sides.append(batch.sent.sides[usable])
                self._scale.append(batch.sent.scale[usable])
            yield batch

    def notes(self, info: ModelInfo) -> tuple[str, ...]:
        """What ``notes_on`` says of all pictures together."""
        return notes_on(np.concatenate(self._sides), np.concatenate(self._scale), info) if self._sides else ()


def _sources_for(info: ModelInfo, files: Sequence[Path], wish: Wish) -> list[Source]:
    if (preparation := preparation_of(info, judged=True)) is not None:
        return picture_sources(files, preparation, wish.fit)
    return sources(files, ItemSpec.of(info), wish.fit, lambda note: click.echo(note, err=True))


def _batches(found: list[Source], rows: int) -> Iterator[Batch]:
    for source in found:
        yield from source.batches(rows)


async def _write_all(
    writer: Writer,
    scorer: Scorer,
    folder: MapFolder | None,
    batches: Iterator[Batch],
    move: Callable[[int], None],
    wish: Wish,
) -> int:
    """Score and write batch by batch; how many rows could not be scored.

    With a false-discovery rate nothing can be written before all is scored; what waits are numbers, never items.
    """
    waiting: list[_Scored] = []
    done = unscored = 0
    for batch in batches:
        found = await _scored(scorer, folder, batch, wish)
        if wish.fdr is None:
            _write(writer, scorer, found, wish.alpha, mapped=folder is not None)
        else:
            waiting.append(found._replace(batch=batch._replace(items=batch.items[:0], sent=None)))
        done += len(batch.places)
        unscored += len(batch.faults)
        move(done)
    discoveries = scorer.discoveries(wish.fdr) if wish.fdr is not None else None
    first = 0
    for found in waiting:
        if found.arrays is not None and discoveries is not None:
            stop = first + len(found.batch.places) - len(found.batch.faults)
            found.arrays["discovery"], first = discoveries[first:stop], stop
        _write(writer, scorer, found, wish.alpha, mapped=folder is not None)
    return unscored


class _Scored(NamedTuple):
    """What was found of a batch: of the items that could be scored, if any."""

    batch: Batch
    arrays: Arrays | None
    told: Told
    regions: list[list[Region]] | None
    """Of each item, where maps were asked for."""


async def _scored(scorer: Scorer, folder: MapFolder | None, batch: Batch, wish: Wish) -> _Scored:
    good = [row for row in range(len(batch.places)) if row not in batch.faults]
    if not good:
        return _Scored(batch, None, {}, None)
    items = batch.items[good] if batch.faults else batch.items
    sent = batch.sent if batch.sent is None or not batch.faults else batch.sent.take(good)
    arrays = await scorer.score(items, sent)
    regions = None if folder is None else folder.write([batch.places[row] for row in good], items, arrays)
    return _Scored(batch, arrays, await _explained(scorer, items, arrays, wish), regions)


async def _explained(scorer: Scorer, items: Array, scored: Arrays, wish: Wish) -> Told:
    places = explained(scorer.info, wish.explain, scored.get("p_value"), wish.alpha)
    if not places:
        return {}
    found = column_contributions(scorer.info, wish.explain, items[places], await scorer.explain(items[places]))
    return dict(zip(places, found, strict=True))


def _unscored(reason: str, mapped: bool) -> ItemScore:
    return ItemScore(None, None, reason=reason, regions=None if mapped else UNSET)


def _write(writer: Writer, scorer: Scorer, found: _Scored, alpha: float, mapped: bool) -> None:
    """Write a row an item; one that cannot be scored has a reason and no figures."""
    batch = found.batch
    listed = [] if found.arrays is None else list(item_scores(scorer.info, found.arrays, alpha))
    for score, regions in zip(listed, found.regions or (), strict=False):
        score.regions = regions if alpha_reachable(scorer.info, alpha) is not False else None
    scores = with_contributions(iter(listed), found.told)
    writer.write(
        [
            Row(place, _unscored(batch.faults[row], mapped) if row in batch.faults else next(scores))
            for row, place in enumerate(batch.places)
        ]
    )


def _summary(info: ModelInfo, together: GroupScore, found: str) -> str:
    mean = "not finite" if together.log_likelihood is None else f"{together.log_likelihood:.6g} nats"
    group = "" if together.p_value is None else f"; p-value of all together {together.p_value:.3g}"
    return f"{info.reference}: {together.count:,} items, mean log-likelihood {mean}; {found}{group}"


def _verdicts(info: ModelInfo, anomalous: int, alpha: float) -> str:
    return f"{anomalous:,} anomalous at {alpha:g}" if alpha_reachable(info, alpha) else _no_verdict(info, alpha)


def _no_verdict(info: ModelInfo, alpha: float) -> str:
    """Why no item can be called anomalous at alpha."""
    if info.calibration is None:
        return "published without calibration, so there are no p-values"
    return (
        f"no verdict at {alpha:g}, since no p-value of {info.calibration.reference:,} calibration items is below "
        f"{info.calibration.smallest_p_value:.4g}"
    )
