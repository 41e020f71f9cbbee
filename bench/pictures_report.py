"""The tables of the benchmark of pictures, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from textwrap import fill
from typing import Any

import numpy as np

from bench import bands
from bench.defects import DEFECTS
from bench.parts import PLACE_DEFECTS

ALPHA = 0.05
GOALS = {"image": 0.95, "pixel": 0.97, "pro": 0.88}
LONGEST_MAP, MOST_MEMORY = 1.2, 1024.0
"""The time of a map in units of that of the bare likelihood, and mebibytes for 1,024 x 1,024 pixels."""


_OTHER_PIXELS = {
    "pixel_outside": "without those inside a fault that look as before",
    "pixel_outlines": "with those as parts of the fault",
}
"""Figures of pixels that show what masks of changed pixels cost."""


def mean(rows: Mapping[str, Mapping[str, float]], figure: str) -> float:
    """The mean of a figure over kinds of defects, NaN where no row has it."""
    return _known_mean([row[figure] for row in rows.values() if figure in row])


def report(
    found: Mapping[tuple[str, int], dict[str, Any]], trained: int, steps: int, memory: float | None
) -> Iterator[str]:
    """The lines. ``memory`` in mebibytes is of one large picture, None where it was not measured."""
    yield f"\n{trained} training pictures of each surface, {steps} steps for each of three flows.\n"
    yield from _goals(found, memory)
    yield "\nMean of the kinds of defects, AUROC of pictures / AUROC of pixels / PRO at 30 %:\n"
    methods = list(dict.fromkeys(method for figures in found.values() for method in figures["methods"]))
    yield f"| surface | size | {' | '.join(methods)} |\n|---|---:|{'---|' * len(methods)}"
    total: dict[str, list[list[float]]] = {method: [] for method in methods}
    for (name, side), figures in found.items():
        cells = []
        for method in methods:
            own = [mean(figures["methods"].get(method, {}), figure) for figure in GOALS]
            total[method].append(own)
            cells.append(_cell(own))
        yield f"| {name} | {side} | {' | '.join(cells)} |"
    means = [[_known_mean(column) for column in zip(*total[method], strict=True)] for method in methods]
    yield f"| **mean** of those measured | | {' | '.join(map(_cell, means))} |"
    yield "\nBy kind of defect, mean of the surfaces that have it, these three figures, and the share found at 0.05:\n"
    yield "| defect | Sluice | found |\n|---|---|---:|"
    for defect in (*DEFECTS, *PLACE_DEFECTS):
        rows = [each["methods"]["Sluice"][defect] for each in found.values() if defect in each["methods"]["Sluice"]]
        if rows:
            own = [float(np.mean([row[figure] for row in rows])) for figure in (*GOALS, "found")]
            yield f"| {defect} | {_cell(own[:3])} | {own[3]:.2f} |"
    yield from _ordinary(found)


def _goals(found: Mapping[tuple[str, int], dict[str, Any]], memory: float | None) -> Iterator[str]:
    sides = sorted({side for _, side in found})
    by_side = [[figures for (_, own), figures in found.items() if own == side] for side in sides]
    yield f"| measure | asked | {' | '.join(f'{side} pixels' for side in sides)} |\n|---|---:|{'---:|' * len(sides)}"

    def row(words: str, asked: str, measured: Callable[[list[dict[str, Any]]], float], digits: int = 3) -> str:
        return f"| {words} | {asked} | {' | '.join(_figure(measured(each), digits) for each in by_side)} |"

    yield row("sets", "", len, 0)
    for figure, words in (("image", "AUROC of pictures"), ("pixel", "AUROC of pixels"), ("pro", "PRO at 30 %")):
        yield row(f"{words}, mean", f"at least {GOALS[figure]:.2f}", partial(_mean_of_sets, figure=figure))
    for figure, words in _OTHER_PIXELS.items():
        yield row(f"AUROC of pixels, {words}", "", partial(_mean_of_sets, figure=figure))
    yield row(
        f"false alarms of pictures at {ALPHA}, mean of all splits", f"{ALPHA}", partial(_mean_share, key="splits")
    )
    regions = f"ordinary pictures with a region at {ALPHA}, the same"
    yield row(regions, f"at most {ALPHA}", partial(_mean_share, key="split_regions"))
    yield row("time of a map beside the bare likelihood", f"at most {LONGEST_MAP}", _mean_ratio, 2)
    if memory is not None:
        yield row("memory to score 1,024 x 1,024 in colour, MB", f"at most {MOST_MEMORY:.0f}", lambda _: memory, 0)


def _mean_of_sets(found: list[dict[str, Any]], figure: str) -> float:
    return float(np.mean([mean(each["methods"]["Sluice"], figure) for each in found]))


def _mean_share(found: list[dict[str, Any]], key: str) -> float:
    return float(np.mean([share for each in found for share in each[key]]))


def _mean_ratio(found: list[dict[str, Any]]) -> float:
    return float(np.mean([each["map_seconds"] / each["likelihood_seconds"] for each in found]))


def _ordinary(found: Mapping[tuple[str, int], dict[str, Any]]) -> Iterator[str]:
    text = (
        f"Ordinary test pictures at alpha = {ALPHA}. A split deals the calibrating pictures into halves anew. "
        "Scenes are those that the training pictures were found to show. Known stripes are those that were trained on: "
        "other ordinary pictures cut from them, mean of the splits:"
    )
    yield f"\n{fill(text, 128)}\n"
    yield (
        "| surface | size | knows the place | crops | scenes | alarms | with any region | "
        "99 % band, were pictures independent | "
        "splits: mean, most | of known stripes | map / bare likelihood | training, CPU minutes |"
    )
    yield "|---|---:|---|---|---:|---:|---:|---|---|---:|---:|---:|"
    for (name, side), figures in found.items():
        band = bands.beta_binomial(figures["ordinary"], ALPHA, figures["n"])
        shares = [figures[key] / figures["ordinary"] for key in ("alarms", "with_region")]
        splits = f"{np.mean(figures['splits']):.3f}, {max(figures['splits']):.3f}"
        ratio = figures["map_seconds"] / figures["likelihood_seconds"]
        trained = figures["train_cpu_seconds"]
        known = f"{np.mean(figures['known_splits']):.3f}" if "known_splits" in figures else "-"
        yield (
            f"| {name} | {side} | {'yes' if figures['place'] else 'no'} | {figures['crops']} | {figures['scenes']} | "
            f"{shares[0]:.3f} | {shares[1]:.3f} | {band} | {splits} | {known} | {ratio:.2f} | "
            f"{'-' if trained is None else f'{trained / 60:.1f}'} |"
        )


def _known_mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _cell(values: list[float]) -> str:
    return " / ".join(map(_figure, values))


def _figure(value: float, digits: int = 3) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"
