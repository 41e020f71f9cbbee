"""The command `sluice score`."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from model_store import LoadedModel, Store, StoreError
from service.device import hardware
from service.device.descriptions import info_of
from service.device_names import NoSuchDevice
from service.device_option import device_option
from service.media.documents import ColumnContribution, GroupScore, ItemScore, alpha_reachable, group_score, item_scores
from service.media.explanations import Wish, column_contributions, explained, with_contributions
from service.media.items import ItemSpec
from service.media.npy import Array
from service.media.table_rows import Table
from service.offline import histogram
from service.offline.outputs import FORMATS, Row, Writer, writer_to
from service.offline.scorer import Scorer, scorer_of
from service.offline.sources import Batch, Source, sources
from service.offline.unusable import UnusableFile
from service.protocol.defaults import ALPHA, LARGEST_SEED, SCORE_SEED
from service.protocol.errors import Problem
from service.protocol.messages import Arrays
from service.protocol.model_info import ModelInfo
from service.settings import Settings

_EPILOG = """\b
Examples:
  sluice score pictures/ --model mnist-nice > scores.csv
  sluice score batch.npy --fdr 0.1 --output scores.parquet
  sluice score readings.csv --model moons --format jsonl --histogram scores.png
"""


class _Share(click.FloatRange):
    """A share strictly between 0 and 1."""

    def __init__(self) -> None:
        super().__init__(0, 1, min_open=True, max_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        share = float(super().convert(value, param, ctx))
        if math.isnan(share):  # of which no comparison is true
            self.fail(f"{value} is not in the range 0<x<1.", param, ctx)
        return share


@click.command(epilog=_EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", help="name, name@version or name@alias.  [default: the store's]")
@click.option("--store", type=click.Path(path_type=Path), help="The model store's directory.")
@device_option
@click.option("--alpha", type=_Share(), default=ALPHA, show_default=True, help="At which p-value an item is anomalous.")
@click.option("--fdr", type=_Share(), help="Mark discoveries so that at most this share of them is false.")
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), default=SCORE_SEED, show_default=True, help="Of the dequantisation."
)
@click.option("--fit", is_flag=True, help="Convert a picture of another size or mode instead of refusing it.")
@click.option(
    "--explain",
    type=click.Choice(["anomalous", "all"]),
    is_flag=False,
    flag_value="anomalous",
    help="Of rows of a table, also tell which columns make anomalous rows unlikely, or all rows with --explain=all.",
)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), help="[default: by the output's ending, else csv]")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="[default: standard output]")
@click.option("--histogram", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw a PNG here.")
def score(
    files: tuple[Path, ...],
    model: str | None,
    store: Path | None,
    device: str | None,
    alpha: float,
    fdr: float | None,
    seed: int,
    fit: bool,
    explain: Wish | None,
    form: str | None,
    output: Path | None,
    picture: Path | None,
) -> None:
    """Score FILES as the service would: pictures (PNG, JPEG), .npy, .npz, .csv, .parquet, and folders of these.

    One row an item, in order, with its log-likelihood and, where the model is calibrated, its p-value. A summary and
    the verdict on all items together go to the standard error.
    """
    settings = Settings.model_validate({**Settings().model_dump(), **({"device": device} if device else {})})
    wish = _Wish(alpha, fdr, fit, seed, form or _form_of(output), output, picture, explain or "none")
    try:
        loaded = _load(model, store, settings)
        if picture is not None:
            histogram.require(loaded)
        click.echo(asyncio.run(_score(loaded, files, settings, wish)), err=True)
    except (NoSuchDevice, StoreError, UnusableFile) as error:
        raise click.ClickException(str(error)) from error
    except Problem as problem:
        raise click.ClickException(problem.detail) from problem


class _Wish(NamedTuple):
    """What the options ask for."""

    alpha: float
    fdr: float | None
    fit: bool
    seed: int
    form: str
    output: Path | None
    picture: Path | None
    explain: Wish


def _load(model: str | None, store: Path | None, settings: Settings) -> LoadedModel:
    shelf, device = Store(store or settings.store), hardware.device_of(settings)
    return shelf.load(*shelf.resolve(model), device, bfloat16=hardware.bfloat16_allowed(settings, device))


async def _score(loaded: LoadedModel, files: Sequence[Path], settings: Settings, wish: _Wish) -> str:
    """Score the files into the output; a summary."""
    info = info_of(loaded, ())
    table = None if info.table is None else Table(info.table, info.takes_missing)
    found = sources(
        files, ItemSpec(info.item_shape, info.is_image, table), wish.fit, lambda note: click.echo(note, err=True)
    )
    count = sum(source.count for source in found)
    async with scorer_of(loaded, settings, wish.seed) as scorer:
        with writer_to(wish.output, sys.stdout.buffer, wish.form, info) as writer:
            await _write_all(
                writer,
                scorer,
                _batches(found, settings.max_batch_rows or hardware.batch_rows(loaded.flow.device)),
                count,
                wish,
            )
    if wish.picture is not None:
        histogram.draw(wish.picture, loaded, scorer.log_likelihoods, scorer.p_values)
    if not scorer.count:
        raise UnusableFile(f"none of the {count:,} rows could be scored; the reasons are in the output")
    together = group_score(info, scorer.log_likelihoods, scorer.group_p_value(), wish.alpha)
    return _summary(info, together, int((scorer.p_values <= wish.alpha).sum()), wish.alpha)


def _form_of(output: Path | None) -> str:
    ending = output.suffix.lower().removeprefix(".") if output is not None else "csv"
    return ending if ending in FORMATS else "csv"


def _batches(found: list[Source], rows: int) -> Iterator[Batch]:
    for source in found:
        yield from source.batches(rows)


async def _write_all(writer: Writer, scorer: Scorer, batches: Iterator[Batch], count: int, wish: _Wish) -> None:
    """Score and write batch by batch.

    With a false-discovery rate nothing can be written before all is scored; what waits are numbers, never items.
    """
    waiting: list[tuple[Batch, Arrays | None, Told]] = []
    with click.progressbar(length=count, label="scoring", file=sys.stderr) as bar:
        for batch in batches:
            good = [row for row in range(len(batch.places)) if row not in batch.faults]
            items = batch.items[good] if batch.faults else batch.items
            scored = await scorer.score(items) if good else None
            told = {} if scored is None else await _explained(scorer, items, scored, wish)
            if wish.fdr is None:
                _write(writer, scorer, batch, scored, wish.alpha, told)
            else:
                waiting.append((batch._replace(items=batch.items[:0]), scored, told))
            bar.update(len(batch.places))
    discoveries = scorer.discoveries(wish.fdr) if wish.fdr is not None else None
    first = 0
    for batch, scored, told in waiting:
        if scored is not None and discoveries is not None:
            stop = first + len(batch.places) - len(batch.faults)
            scored["discovery"], first = discoveries[first:stop], stop
        _write(writer, scorer, batch, scored, wish.alpha, told)


Told = dict[int, list[ColumnContribution]]
"""What columns contribute, by the places of explained items among those that could be scored."""


async def _explained(scorer: Scorer, items: Array, scored: Arrays, wish: _Wish) -> Told:
    places = explained(scorer.info, wish.explain, scored.get("p_value"), wish.alpha)
    if not places:
        return {}
    found = column_contributions(scorer.info, wish.explain, items[places], await scorer.explain(items[places]))
    return dict(zip(places, found, strict=True))


def _write(writer: Writer, scorer: Scorer, batch: Batch, scored: Arrays | None, alpha: float, told: Told) -> None:
    """Write a row an item; one that cannot be scored has a reason and no figures."""
    scores = iter(()) if scored is None else item_scores(scorer.info, scored, alpha)
    scores = with_contributions(scores, told)
    writer.write(
        [
            Row(place, ItemScore(None, None, reason=batch.faults[row]) if row in batch.faults else next(scores))
            for row, place in enumerate(batch.places)
        ]
    )


def _summary(info: ModelInfo, together: GroupScore, anomalous: int, alpha: float) -> str:
    mean = "not finite" if together.log_likelihood is None else f"{together.log_likelihood:.6g} nats"
    text = f"{info.reference}: {together.count:,} items, mean log-likelihood {mean}"
    if together.p_value is None:
        return f"{text}; published without calibration, so there are no p-values"
    found = f"{anomalous:,} anomalous at {alpha:g}"
    if info.calibration is not None and not alpha_reachable(info, alpha):
        found = (
            f"no verdict at {alpha:g}, since no p-value of {info.calibration.reference:,} calibration items is below "
            f"{info.calibration.smallest_p_value:.3g}"
        )
    return f"{text}; {found}; p-value of all together {together.p_value:.3g}"
