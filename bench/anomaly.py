"""How good the verdict of /score is: false alarms, detection of foreign sets beside its baselines, and its cost.

    make bench-anomaly [DATA=DIR]
    .venv/bin/python -m bench.anomaly [--data-dir DIR] [--store DIR] [--model NAME ...] [--limit N] [--near]
        [--into FILE]

DIR holds the original files as the trainer takes them, and emnist-mnist/ where its digits are to be tried; sets that
are not at hand are left out. Prints Markdown. All figures are of the combined p-value at seed 0, the one that /score
answers with; the baselines are raw -log p and the length of a lossless code alone, high or low, without any model.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bench import anomaly_cost, bands, near_sets, page
from bench.anomaly_data import NEAR, foreign_sets, own_items
from flows import anomaly
from flows.anomaly.complexity import code_bits
from flows.nets.precision import multiplies_bfloat16
from model_store import LoadedModel, Store, default_root
from trainer.data import MNIST
from trainer.report.anomaly_statistics import statistics
from trainer.report.detection import detection

ALPHAS = (0.10, 0.05, 0.01)
_CODE_TESTS, _TRAINING = ("layout", "texture"), 20_000
"""The tests that look at an image's code and never at the flow, and how many training items they are calibrated on."""


def report(model: LoadedModel, data_dir: Path | None, limit: int | None, near_only: bool = False) -> Iterator[str]:
    """Lines of Markdown on one calibrated model; with ``near_only`` the table of near sets alone."""
    yield f"\n## {model.reference}\n"
    training, test = own_items(model, data_dir)
    test = test[:limit]
    ordinary = statistics(model.serving, test)
    if near_only:
        yield from found_near(model, test, ordinary, data_dir, limit)
        return
    yield from false_alarms(model, ordinary)
    if model.flow.is_image:
        some = torch.randperm(len(training), generator=torch.Generator().manual_seed(0))[:_TRAINING]
        yield without_the_flow(model, training[some[:limit]], ordinary)
    foreign = {name: items[:limit] for name, items in foreign_sets(model, test, data_dir).items()}
    yield from found(model, test, ordinary, foreign)
    if model.manifest.provenance["data"] == MNIST.name:
        yield from found_near(model, test, ordinary, data_dir, limit)
    batch = test[: anomaly_cost.BATCH]
    alone, asked = anomaly_cost.in_process(model, batch), anomaly_cost.over_http(model, test)
    yield f"\nA verdict takes {alone:.2f} times the bare likelihood at batch {len(batch)}, over HTTP {asked.ratio:.2f}"
    yield f"times. {asked.items:,} items in one npy take up to {asked.grown / 1e6:.0f} MB more of memory."


def false_alarms(model: LoadedModel, ordinary: Tensor) -> Iterator[str]:
    """From the statistics (N, K) of test items."""
    calibration = model.calibration
    assert calibration is not None, f"{model.reference} was published without calibration"
    p_values, n = calibration.judge(ordinary).p_value, calibration.size
    yield f"False alarms on {len(p_values):,} test items, p-values resting on n = {n:,} held-out items:\n"
    yield "| alpha | alarms | 99 % band, binomial | 99 % band for this n |\n|---|---|---|---|"
    for alpha in ALPHAS:
        share = float((p_values <= alpha).double().mean())
        cells = [
            f"{band}{'' if share in band else ', OUTSIDE'}"
            for band in (bands.binomial(len(p_values), alpha), bands.beta_binomial(len(p_values), alpha, n))
        ]
        yield f"| {alpha:.2f} | {share:.4f} | {cells[0]} | {cells[1]} |"
    distance = kolmogorov_smirnov(p_values)
    critical = 1.63 * math.sqrt(1 / len(p_values) + 1 / n)
    yield (
        f"\nTest items and held-out items {'differ' if distance > critical else 'do not differ'} by Kolmogorov and "
        f"Smirnov's test at 1 %: the distance is {distance:.4f}, the critical one {critical:.4f}.\n"
    )


def without_the_flow(model: LoadedModel, training: Tensor, ordinary: Tensor) -> str:
    """False alarms by the code alone, calibrated on training items (n, *item_shape): do test items look like these?

    ``ordinary`` (N, K) are the statistics of test items.
    """
    tests, names = anomaly.tests_of(model.flow), anomaly.names_of(model.flow)
    chosen = [test for test in tests if test.name in _CODE_TESTS]
    columns = [names.index(name) for test in chosen for name in test.statistics]
    measured = statistics(model.serving, training)[:, columns]
    fit = len(measured) // 10
    calibration = anomaly.Calibration.of(chosen, measured[:fit], measured[fit:])
    p_values = calibration.judge(ordinary[:, columns]).p_value
    shares = ", ".join(f"{float((p_values <= alpha).double().mean()):.4f}" for alpha in ALPHAS)
    return (
        f"By {' and '.join(_CODE_TESTS)} of the code alone, without the flow and with p-values resting on n = "
        f"{calibration.size:,} training items instead, the shares are {shares}.\n"
    )


def found(model: LoadedModel, test: Tensor, ordinary: Tensor, foreign: dict[str, Tensor]) -> Iterator[str]:
    """From test items (N, *item_shape), their statistics (N, K), and sets of foreign items by name."""
    calibration, home = model.calibration, model.manifest.provenance["data"]
    assert calibration is not None
    verdict = -calibration.judge(ordinary).p_value
    likelihood = anomaly.names_of(model.flow).index("log_likelihood")
    sizes = code_bits(test) if model.flow.is_image else None
    yield "| foreign set | AUROC | FPR at 95 % TPR | raw -log p | code length alone |\n|---|---|---|---|---|"
    for name, items in foreign.items():
        measured = statistics(model.serving, items)
        ours = detection(verdict, -calibration.judge(measured).p_value)
        raw = detection(-ordinary[:, likelihood], -measured[:, likelihood]).auroc
        size = detection(sizes, code_bits(items)).auroc if sizes is not None else math.nan
        figures = (ours.auroc, ours.fpr_at_95_tpr, raw, max(size, 1 - size))
        near = " (near)" if (home, name) in NEAR else ""
        yield f"| {name}{near} | " + " | ".join("" if math.isnan(f) else f"{f:.4f}" for f in figures) + " |"


def found_near(
    model: LoadedModel, test: Tensor, ordinary: Tensor, data_dir: Path | None, limit: int | None
) -> Iterator[str]:
    """From test digits (N, 28, 28) and their statistics (N, K): near sets by the verdict, the likelihood and each test.

    The sets are made of the first of these digits, which are then left out of the ordinary ones.
    """
    calibration, count = model.calibration, min(near_sets.COUNT, len(test) // 2, limit or near_sets.COUNT)
    assert calibration is not None
    likelihood = anomaly.names_of(model.flow).index("log_likelihood")

    def scores(found: Tensor) -> dict[str, Tensor]:
        verdict = calibration.judge(found)
        each = {name: -p_value for name, p_value in verdict.tests.items()}
        return {"verdict": -verdict.p_value, "raw -log p": -found[:, likelihood], **each}

    others = scores(ordinary[count:])
    yield f"\nNear sets (`bench/near_sets.py`), up to {count:,} pictures each; AUROC by the verdict, the likelihood and"
    yield "each test:\n"
    yield f"| near set | {' | '.join(others)} |\n|---{'|---' * len(others)}|"
    parts = {
        "tuned on": near_sets.TUNED_ON,
        "kept apart": near_sets.KEPT_APART,
        "no anomalies": (near_sets.RENDERED_AGAIN, near_sets.OTHER_WRITERS),
    }
    for part, names in parts.items():
        rows = []
        for name, items in near_sets.near_sets(test, data_dir, names, count).items():
            near = scores(statistics(model.serving, items))
            rows.append([detection(others[by], near[by]).auroc for by in others])
            yield f"| {name} | {_figures(rows[-1])} |"
        if rows and part != "no anomalies":
            means = torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()
            yield f"| **mean of those {part}** | {_figures(means)} |"


def _figures(values: Sequence[float]) -> str:
    return " | ".join(f"{value:.4f}" for value in values)


def kolmogorov_smirnov(p_values: Tensor) -> float:
    """The largest distance between the distribution of p-values (N,) and the uniform one."""
    ordered, n = p_values.sort().values, len(p_values)
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    return float(torch.maximum((steps - ordered).abs(), (ordered - steps + 1 / n).abs()).max())


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with the original files; by default they are downloaded")
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--model", action="append", help="a model of the store; by default every calibrated one")
    parser.add_argument("--limit", type=int, help="only the first so many items of each set")
    parser.add_argument("--near", action="store_true", help="only the table of near sets, of models of MNIST")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    page.refuse_parts(parser, options, "near", "model", "limit")
    store = Store(options.store)
    lines = []
    for name in options.model or store.names():
        model = store.load(*store.resolve(name), bfloat16=multiplies_bfloat16(torch.device("cpu")))
        if model.calibration is None and options.model is None:
            continue
        if options.near and model.manifest.provenance.get("data") != MNIST.name:
            continue
        for line in report(model, options.data_dir, options.limit, options.near):
            print(line, flush=True)
            lines.append(line)
    if options.into:
        page.write_into(options.into, "make bench-anomaly", "\n".join(lines))


if __name__ == "__main__":
    main()
