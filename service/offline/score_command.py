"""The command `sluice score`."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from service.commands.style import (
    Documented,
    bar,
    failures_told,
    model_option,
    settings_with,
    store_option,
)
from service.device_option import device_option
from service.protocol.defaults import ALPHA, LARGEST_SEED, SCORE_SEED

if TYPE_CHECKING:
    from model_store import LoadedModel
    from service.media.documents import GroupScore
    from service.offline.outputs import Writer
    from service.offline.scorer import Scorer
    from service.offline.sources import Batch, Place, Source
    from service.protocol.messages import Arrays
    from service.settings import Settings

_FORMATS = ("csv", "parquet", "jsonl")
"""The keys of ``outputs.FORMATS``, which is not imported for the sake of a help page."""
_FOUND = 3
"""Exit code of --fail-anomalous where an item is anomalous."""


class _Share(click.FloatRange):
    """A share strictly between 0 and 1."""

    def __init__(self) -> None:
        super().__init__(0, 1, min_open=True, max_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        share = float(super().convert(value, param, ctx))
        if math.isnan(share):  # of which no comparison is true
            self.fail(f"{value} is not in the range 0<x<1.", param, ctx)
        return share


@click.command(
    cls=Documented,
    examples=(
        "sluice score pictures/ --model mnist-nice > scores.csv",
        "sluice score batch.npy --fdr 0.1 --output scores.parquet",
        "sluice score readings.csv --model moons --format jsonl --histogram scores.png",
        "sluice score incoming/ --alpha 0.001 --fail-anomalous > scores.csv || echo 'look at scores.csv'",
    ),
    exit_codes={_FOUND: "with --fail-anomalous: everything was scored, and an item is anomalous"},
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@model_option
@store_option
@device_option
@click.option("--alpha", type=_Share(), default=ALPHA, show_default=True, help="At which p-value an item is anomalous.")
@click.option("--fdr", type=_Share(), help="Mark discoveries so that at most this share of them is false.")
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), default=SCORE_SEED, show_default=True, help="Of the dequantisation."
)
@click.option("--fit", is_flag=True, help="Convert a picture of another size or mode instead of refusing it.")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="[default: by the output's ending, else csv]")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="[default: standard output]")
@click.option("--histogram", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw a PNG here.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option("--fail-anomalous", is_flag=True, help="End with exit code 3 where an item is anomalous at --alpha.")
def score(
    files: tuple[Path, ...],
    model: str | None,
    store: Path | None,
    device: str | None,
    alpha: float,
    fdr: float | None,
    seed: int,
    fit: bool,
    form: str | None,
    output: Path | None,
    picture: Path | None,
    as_json: bool,
    fail_anomalous: bool,
) -> None:
    """Score FILES as the service would: pictures (PNG, JPEG), .npy, .npz, .csv, .parquet, and folders of these.

    One row an item, in order, with its log-likelihood and, where the model is calibrated, its p-value. A summary and
    the verdict on all items together go to the standard error.
    """
    if as_json and form not in (None, "jsonl"):
        raise click.UsageError(f"--json and --format {form} contradict each other")
    settings = settings_with(device=device)
    wish = _Wish(alpha, fdr, fit, seed, "jsonl" if as_json else form or _form_of(output), output, picture)
    with failures_told():
        from service.offline import histogram
        from service.offline.one_model import load_model

        loaded = load_model(model, store, settings)
        if picture is not None:
            histogram.require(loaded)
        summary, anomalous = asyncio.run(_score(loaded, files, settings, wish))
    click.echo(summary, err=True)
    if fail_anomalous and anomalous:
        raise SystemExit(_FOUND)


class _Wish(NamedTuple):
    """What the options ask for."""

    alpha: float
    fdr: float | None
    fit: bool
    seed: int
    form: str
    output: Path | None
    picture: Path | None


async def _score(loaded: LoadedModel, files: Sequence[Path], settings: Settings, wish: _Wish) -> tuple[str, int]:
    """Score the files into the output; a summary, and how many items are anomalous."""
    from service.device import hardware
    from service.device.descriptions import info_of
    from service.media.documents import group_score
    from service.media.items import ItemSpec
    from service.offline import histogram
    from service.offline.outputs import writer_to
    from service.offline.scorer import scorer_of
    from service.offline.sources import sources

    info = info_of(loaded, ())
    found = sources(files, ItemSpec(info.item_shape, info.is_image), wish.fit)
    count = sum(source.count for source in found)
    async with scorer_of(loaded, settings, wish.seed) as scorer:
        rows = settings.max_batch_rows or hardware.batch_rows(loaded.flow.device)
        with (
            writer_to(wish.output, sys.stdout.buffer, wish.form, info) as writer,
            bar(count, "scoring", "items") as move,
        ):
            await _write_all(writer, scorer, _batches(found, rows), move, wish)
    if wish.picture is not None:
        histogram.draw(wish.picture, loaded, scorer.log_likelihoods, scorer.p_values)
    together = group_score(info, scorer.log_likelihoods, scorer.group_p_value(), wish.alpha)
    anomalous = int((scorer.p_values <= wish.alpha).sum())
    return _summary(info.reference, together, anomalous, wish.alpha), anomalous


def _form_of(output: Path | None) -> str:
    ending = output.suffix.lower().removeprefix(".") if output is not None else "csv"
    return ending if ending in _FORMATS else "csv"


def _batches(found: list[Source], rows: int) -> Iterator[Batch]:
    for source in found:
        yield from source.batches(rows)


async def _write_all(
    writer: Writer, scorer: Scorer, batches: Iterator[Batch], move: Callable[[int], None], wish: _Wish
) -> None:
    """Score and write batch by batch.

    With a false-discovery rate nothing can be written before all is scored; what waits are numbers, never items.
    """
    waiting: list[tuple[list[Place], Arrays]] = []
    done = 0
    for places, items in batches:
        scored = await scorer.score(items)
        if wish.fdr is None:
            _write(writer, scorer, places, scored, wish.alpha)
        else:
            waiting.append((places, scored))
        done += len(places)
        move(done)
    discoveries = scorer.discoveries(wish.fdr) if wish.fdr is not None else None
    first = 0
    for places, scored in waiting:
        if discoveries is not None:
            scored["discovery"] = discoveries[first : first + len(places)]
        _write(writer, scorer, places, scored, wish.alpha)
        first += len(places)


def _write(writer: Writer, scorer: Scorer, places: list[Place], scored: Arrays, alpha: float) -> None:
    from service.media.documents import item_scores
    from service.offline.outputs import Row

    scores = item_scores(scorer.info, scored, alpha)
    writer.write([Row(place, item) for place, item in zip(places, scores, strict=True)])


def _summary(reference: str, together: GroupScore, anomalous: int, alpha: float) -> str:
    mean = "not finite" if together.log_likelihood is None else f"{together.log_likelihood:.6g} nats"
    text = f"{reference}: {together.count:,} items, mean log-likelihood {mean}"
    if together.p_value is None:
        return f"{text}; published without calibration, so there are no p-values"
    return f"{text}; {anomalous:,} anomalous at {alpha:g}; p-value of all together {together.p_value:.3g}"
