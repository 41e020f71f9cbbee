"""The command `sluice score`."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any, Literal

import click

from service.commands.style import (
    Documented,
    failures_told,
    model_option,
    settings_with,
    store_option,
)
from service.device_option import device_option
from service.offline.input_argument import Input, LocalPath, paths_of
from service.offline.output_option import Folder, Output, output_option, refuse_with_folder, refuse_without_folder
from service.protocol.defaults import ALPHA, LARGEST_SEED, SCORE_SEED

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
        "sluice score millions.parquet --model moons -o scores/ --devices cpu,cpu",
        "sluice score s3://bucket/pictures --model mnist-nice -o s3://bucket/scores",
        "sluice score incoming/ --alpha 0.001 --fail-anomalous > scores.csv || echo 'look at scores.csv'",
    ),
    exit_codes={_FOUND: "with --fail-anomalous: an item is anomalous; 1 where none is, but one could not be scored"},
)
@click.argument("files", nargs=-1, required=True, type=Input())
@model_option
@store_option
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
@click.option("--format", "form", type=click.Choice(_FORMATS), help="[default: by the output's ending, else csv]")
@output_option("A file.")
@click.option("--histogram", "picture", type=LocalPath(dir_okay=False, path_type=Path), help="Draw a PNG here.")
@click.option(
    "--maps",
    type=LocalPath(file_okay=False, path_type=Path),
    help="Write into this folder where each picture is strange: a PNG and an npy.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option("--fail-anomalous", is_flag=True, help="End with exit code 3 where an item is anomalous at --alpha.")
def score(
    files: tuple[Path | str, ...],
    model: str | None,
    store: Path | str | None,
    device: str | None,
    alpha: float,
    fdr: float | None,
    seed: int,
    fit: bool,
    explain: Literal["anomalous", "all"] | None,
    form: str | None,
    output: Output,
    part_rows: int | None,
    devices: str | None,
    engine: str | None,
    workers: int | None,
    picture: Path | None,
    maps: Path | None,
    as_json: bool,
    fail_anomalous: bool,
) -> None:
    """Score FILES as the service would: pictures (PNG, JPEG), .npy, .npz, .csv, .parquet, and folders of these.

    With a folder as --output they may also lie at URLs of an object store, such as s3://bucket/pictures.
    One row an item, in order, with its log-likelihood and, where the model is calibrated, its p-value. A summary and
    the verdict on all items together go to the standard error. Into a folder, every listed device computes.
    """
    if as_json and form not in (None, "jsonl"):
        raise click.UsageError(f"--json and --format {form} contradict each other")
    if isinstance(output, Folder):
        refuse_with_folder(fdr=fdr, explain=explain, histogram=picture, maps=maps, json=as_json)
        refuse_with_folder(format=form if form != "parquet" else None)
        options = {"alpha": alpha, "fit": fit}
        settings = settings_with(device=device, devices=devices)
        with failures_told():
            from service.offline.bulk.run import Wish as Bulk
            from service.offline.bulk.run import engine_of, run_bulk
            from service.offline.unusable import UnusableFile

            computing = engine_of(engine, workers, devices)
            wanted = Bulk("score", files, seed=seed, part_rows=part_rows, options=options, engine=computing)
            if fail_anomalous:
                from service.offline.one_model import load_model
                from service.offline.score_files import require_verdicts

                require_verdicts(load_model(model, store, settings), alpha)
            found = run_bulk(wanted, output.path, model, store, settings)
            if found["unusable"] == found["items"]:
                raise UnusableFile(
                    f"none of the {found['items']:,} rows could be scored; the reasons are in the output"
                )
        click.echo(_bulk_summary(found), err=True)
        if fail_anomalous:
            _fail(found["anomalous"], found["unusable"])
        return
    refuse_without_folder(part_rows=part_rows, devices=devices, engine=engine, workers=workers)
    paths = paths_of(files)
    settings = settings_with(device=device)
    with failures_told():
        from service.offline.one_model import load_model
        from service.offline.score_files import Wish, require_verdicts, score_files

        loaded = load_model(model, store, settings)
        if fail_anomalous:
            require_verdicts(loaded, alpha)
        form = "jsonl" if as_json else form or _form_of(output)
        wish = Wish(alpha, fdr, fit, seed, form, output, picture, explain or "none", maps)
        summary, anomalous, unscored = asyncio.run(score_files(loaded, paths, settings, wish))
    click.echo(summary, err=True)
    if fail_anomalous:
        _fail(anomalous, unscored)


def _fail(anomalous: int | None, unscored: int) -> None:
    """End a run that was asked to tell of anomalous items by its exit code."""
    if anomalous:
        raise SystemExit(_FOUND)
    if unscored:
        raise click.ClickException(f"--fail-anomalous: {unscored:,} items could not be scored, so nobody judged them")


def _bulk_summary(found: dict[str, Any]) -> str:
    mean = "none" if found["log_likelihood"] is None else f"{found['log_likelihood']:.6g} nats"
    unusable = f", {found['unusable']:,} without figures" if found["unusable"] else ""
    verdicts = "no verdict" if found["anomalous"] is None else f"{found['anomalous']:,} anomalous"
    items = f"{found['items']:,} items{unusable}, mean log-likelihood {mean}"
    return f"{found['model']}: {items}; {verdicts} at {found['alpha']:g}"


def _form_of(output: Path | None) -> str:
    ending = output.suffix.lower().removeprefix(".") if output is not None else "csv"
    return ending if ending in _FORMATS else "csv"
