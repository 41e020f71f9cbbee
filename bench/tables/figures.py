"""The figures of docs/tables.md, from the lines that ``ours`` and ``peers`` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.bands import Band

Line = Mapping[str, Any]
NOTHING = "nothing measured yet"
ALPHAS = (0.10, 0.05, 0.01)
_SIMULATIONS = 20_000


def report(ours: Sequence[Line], peers: Sequence[Line]) -> Iterator[str]:
    """The page's tables, in Markdown; only ``NOTHING`` where no split was measured by both."""
    whole = [line for line in ours if "missing" not in line]
    if not {(line["table"], line["seed"]) for line in whole} & {(line["table"], line["seed"]) for line in peers}:
        yield NOTHING
        return
    yield from detection(whole, peers)
    yield from false_alarms(whole)
    yield from gaps([line for line in ours if "missing" in line], whole)
    yield from columns(whole)
    yield from training(whole)


def detection(ours: Sequence[Line], peers: Sequence[Line]) -> Iterator[str]:
    """AUROC by table: means over the splits that all detectors were measured on."""
    both = {(line["table"], line["seed"]) for line in ours} & {(line["table"], line["seed"]) for line in peers}
    found: dict[str, dict[str, list[float]]] = {}
    for line in ours:
        if (line["table"], line["seed"]) in both:
            row = found.setdefault(line["table"], {})
            row.setdefault("Sluice", []).append(line["auroc"])
            row.setdefault("likelihood alone", []).append(line["auroc_likelihood"])
    for line in peers:
        if (line["table"], line["seed"]) in both:
            for name, value in line["auroc"].items():
                found[line["table"]].setdefault(name, []).append(value)
    names = list(next(iter(found.values())))
    means = {table: [float(np.mean(row[name])) for name in names] for table, row in found.items()}
    sizes = {line["table"]: (line["rows"], line["columns"]) for line in ours}
    yield f"## AUROC on {len(means)} tables\n"
    yield f"| table | rows to train on | columns | splits | {' | '.join(names)} |"
    yield "|---|" + "---:|" * (3 + len(names))
    for table in sorted(means):
        cells = [f"{value:.3f}" for value in means[table]]
        best = max(means[table][:1] + means[table][2:])
        cells = [f"**{c}**" if v == best and k != 1 else c for k, (c, v) in enumerate(zip(cells, means[table]))]  # noqa: B905
        rows, width = sizes[table]
        yield f"| {table} | {rows:,} | {width} | {len(found[table]['Sluice'])} | {' | '.join(cells)} |"
    matrix = np.array(list(means.values()))
    ranked = np.delete(matrix, 1, axis=1)  # the likelihood alone is a part of Sluice, and no detector beside it
    mean_ranks = _mean_ranks(ranked)
    yield f"| mean |  |  |  | {' | '.join(f'{value:.4f}' for value in matrix.mean(axis=0))} |"
    others = " | ".join(f"{value:.2f}" for value in mean_ranks[1:])
    yield f"| mean rank |  |  |  | {mean_ranks[0]:.2f} |  | {others} |\n"
    untied = []
    for table in means:
        lines = [line for line in ours if line["table"] == table and (table, line["seed"]) in both]
        untied.append(float(np.mean([line["auroc_score"] for line in lines])))
    ranked[:, 0] = untied
    yield (
        f"With `score_samples`, which also orders rows that share the smallest p-value, Sluice's mean AUROC is "
        f"{np.mean(untied):.4f} and its mean rank {_mean_ranks(ranked)[0]:.2f}.\n"
    )
    lost = matrix[:, 0] - matrix[:, 1]
    worst = int(lost.argmin())
    yield (
        f"Against the likelihood alone the verdict gains {lost.mean():+.4f} on average; the most that it loses on a "
        f"table is {-lost[worst]:.4f}, on {list(means)[worst]}.\n"
    )


def _mean_ranks(figures: npt.NDArray[np.float64]) -> list[float]:
    """The mean rank of each column of figures (tables, detectors); 1 is the greatest, and ties share a rank."""
    better = (figures[:, None, :] > figures[:, :, None]).sum(axis=2)
    equal = (figures[:, None, :] == figures[:, :, None]).sum(axis=2)
    return [float(rank) for rank in (better + (equal + 1) / 2).mean(axis=0)]


def false_alarms(ours: Sequence[Line]) -> Iterator[str]:
    """Alarms among the ordinary test rows, pooled over tables and splits, where alpha can be reached."""
    yield "## False alarms\n"
    yield "| alpha | splits | ordinary test rows | alarms | 99 % band |\n|---|---:|---:|---:|---|"
    for alpha in ALPHAS:
        yield from _alarms(f"{alpha:.2f}", ours, alpha)
    yield ""


def _alarms(first: str, ours: Sequence[Line], alpha: float) -> Iterator[str]:
    """The row of a table that tells the alarms at alpha; none where no split can reach it."""
    able = [line for line in ours if alpha >= 1 / (line["calibration"] + 1)]
    if able:
        tested = sum(line["tested"] for line in able)
        share = sum(line["alarms"][str(alpha)] for line in able) / tested
        band = pooled_band([(line["calibration"], line["tested"]) for line in able], alpha)
        outside = "" if band.low <= share <= band.high else ", OUTSIDE"
        yield f"| {first} | {len(able)} | {tested:,} | {share:.4f} | {band}{outside} |"


def gaps(ours: Sequence[Line], whole: Sequence[Line]) -> Iterator[str]:
    """False alarms and loss of AUROC with missing cells."""
    if not ours:
        return
    complete = {(line["table"], line["seed"]): line["auroc"] for line in whole}
    shares = sorted({line["missing"] for line in ours})
    yield "## Missing cells\n"
    yield (
        "Cells are removed at random, from the rows to train on and from those to test. The loss of AUROC is the mean "
        "difference from complete rows of the same split; kNN gets the columns' medians in place of missing cells.\n"
    )
    yield "| missing, alpha | splits | ordinary test rows | alarms | 99 % band |\n|---|---:|---:|---:|---|"
    for share in shares:
        for alpha in ALPHAS:
            lines = [line for line in ours if line["missing"] == share]
            yield from _alarms(f"{share:.0%}, {alpha:.2f}", lines, alpha)
    yield "\n| missing | splits | AUROC | loss | loss of kNN |\n|---|---:|---:|---:|---:|"
    for share in shares:
        lines = [line for line in ours if line["missing"] == share and (line["table"], line["seed"]) in complete]
        if lines:
            found = float(np.mean([line["auroc"] for line in lines]))
            before = float(np.mean([complete[line["table"], line["seed"]] for line in lines]))
            nearest = float(np.mean([line["auroc_nearest_whole"] - line["auroc_nearest"] for line in lines]))
            yield f"| {share:.0%} | {len(lines)} | {found:.4f} | {before - found:.4f} | {nearest:.4f} |"
    yield ""


def pooled_band(sizes: Sequence[tuple[int, int]], alpha: float, confidence: float = 0.99) -> Band:
    """The band of the pooled share of alarms, for (n, tested) of each split, if p-values were exactly conformal.

    The alarms of a split are then beta-binomial: see ``bench.bands.beta_binomial``. Splits count as independent.
    """
    generator = np.random.default_rng(0)
    alarms = np.zeros(_SIMULATIONS)
    for n, tested in sizes:
        k = int(alpha * (n + 1) + 1e-9)
        alarms += generator.binomial(tested, generator.beta(k, n + 1 - k, _SIMULATIONS))
    low, high = np.quantile(alarms / sum(tested for _, tested in sizes), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Band(float(low), float(high))


def columns(ours: Sequence[Line]) -> Iterator[str]:
    """How often the column with a swapped cell is the first of a detected row."""
    lines = [line for line in ours if line.get("alarming")]
    totals = {key: sum(line[key] for line in lines) for key in _COUNTS}
    if totals["detected"]:
        first, by_z = (totals[key] / totals["detected"] for key in ("by_contribution", "by_z"))
        yield "## Which column?\n"
        yield (
            "One cell of an ordinary test row is replaced by that of another row. Rows are counted whose p-value was "
            f"above 0.05 and is then at most 0.05, which are {totals['detected']:,}: in {first:.1%} of them the column "
            f"of that cell has the greatest contribution, and in {by_z:.1%} the greatest absolute z-score. With rows "
            f"that were alarms before the swap, {totals['alarming']:,} in all, it is "
            f"{totals['alarming_by_contribution'] / totals['alarming']:.1%}: there the swapped cell is often not what "
            "is strange.\n"
        )


_COUNTS = ("alarming", "alarming_by_contribution", "detected", "by_contribution", "by_z")


def training(ours: Sequence[Line]) -> Iterator[str]:
    """Seconds of one core for training and calibration."""
    yield "## Training and calibration\n"
    yield "| table | rows | columns | seconds of one core |\n|---|---:|---:|---:|"
    for table in sorted({line["table"] for line in ours}):
        lines = [line for line in ours if line["table"] == table]
        seconds = float(np.median([line["seconds"] for line in lines]))
        yield f"| {table} | {lines[0]['rows']:,} | {lines[0]['columns']} | {seconds:.1f} |"
