"""The command `sluice score`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch

from flows.anomaly import benjamini_hochberg
from model_store import LoadedModel, Store, StoreError
from service.engine import LARGEST_SEED
from service.scores import GroupScore, Scored, group_score, item_scores
from service.scoring import histogram
from service.scoring.errors import UnusableFile
from service.scoring.offline import Scorer
from service.scoring.outputs import FORMATS, Row, Writer, writer_to
from service.scoring.sources import Batch, Place, Source, sources
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
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.")
@click.option("--alpha", type=_Share(), default=0.01, show_default=True, help="At which p-value an item is anomalous.")
@click.option("--fdr", type=_Share(), help="Mark discoveries so that at most this share of them is false.")
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="Of the dequantisation."
)
@click.option("--fit", is_flag=True, help="Convert a picture of another size or mode instead of refusing it.")
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
    form: str | None,
    output: Path | None,
    picture: Path | None,
) -> None:
    """Score FILES as the service would: pictures (PNG, JPEG), .npy, .npz, .csv, .parquet, and folders of these.

    One row an item, in order, with its log-likelihood and, where the model is calibrated, its p-value. A summary and
    the verdict on all items together go to the standard error.
    """
    settings = Settings.model_validate({**Settings().model_dump(), **({"device": device} if device else {})})
    try:
        shelf = Store(store or settings.store)
        loaded = shelf.load(*shelf.resolve(model), settings.torch_device(), bfloat16=settings.bfloat16())
        if picture is not None:
            histogram.require(loaded)
        scorer = Scorer(loaded, seed)
        found = sources(files, loaded.flow, fit)
        batches = _batches(found, settings.max_batch_rows)
        with writer_to(output, sys.stdout.buffer, form or _form_of(output), loaded) as writer:
            p_values = _write_all(writer, scorer, batches, sum(source.count for source in found), alpha, fdr)
        if picture is not None:
            histogram.draw(picture, loaded, scorer.log_likelihoods, p_values)
    except (StoreError, UnusableFile) as error:
        raise click.ClickException(str(error)) from error
    together = group_score(loaded, scorer.log_likelihoods, scorer.group(), alpha)
    click.echo(_summary(loaded, together, int((p_values <= alpha).sum()), alpha), err=True)


def _form_of(output: Path | None) -> str:
    ending = output.suffix.lower().removeprefix(".") if output is not None else "csv"
    return ending if ending in FORMATS else "csv"


def _batches(found: list[Source], rows: int) -> Iterator[Batch]:
    for source in found:
        yield from source.batches(rows)


def _write_all(
    writer: Writer, scorer: Scorer, batches: Iterator[Batch], count: int, alpha: float, fdr: float | None
) -> torch.Tensor:
    """Score and write batch by batch; the p-values (N,) of all, of none where the model is not calibrated.

    With ``fdr`` nothing can be written before all is scored; what waits are numbers, never items.
    """
    waiting: list[tuple[list[Place], Scored]] = []
    p_values: list[torch.Tensor] = [torch.empty(0, dtype=torch.float64)]
    with click.progressbar(length=count, label="scoring", file=sys.stderr) as bar:
        for places, items in batches:
            scored = scorer.score(items)
            if scored.judged is not None:
                p_values.append(scored.judged.verdict.p_value)
            if fdr is None:
                _write(writer, scorer.model, places, scored, alpha, None)
            else:
                waiting.append((places, scored))
            bar.update(len(places))
    whole = torch.cat(p_values)
    discoveries = benjamini_hochberg(whole, fdr).tolist() if fdr is not None and len(whole) else None
    first = 0
    for places, scored in waiting:
        mine = discoveries[first : first + len(places)] if discoveries is not None else None
        _write(writer, scorer.model, places, scored, alpha, mine)
        first += len(places)
    return whole


def _write(
    writer: Writer,
    model: LoadedModel,
    places: list[Place],
    scored: Scored,
    alpha: float,
    discoveries: list[bool] | None,
) -> None:
    scores = item_scores(model, scored, alpha, discoveries)
    writer.write([Row(place, item) for place, item in zip(places, scores, strict=True)])


def _summary(model: LoadedModel, together: GroupScore, anomalous: int, alpha: float) -> str:
    mean = "not finite" if together.log_likelihood is None else f"{together.log_likelihood:.6g} nats"
    text = f"{model.reference}: {together.count:,} items, mean log-likelihood {mean}"
    if together.p_value is None:
        return f"{text}; published without calibration, so there are no p-values"
    return f"{text}; {anomalous:,} anomalous at {alpha:g}; p-value of all together {together.p_value:.3g}"
