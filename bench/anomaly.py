"""How good the verdict of /score is: false alarms, detection of foreign sets beside its baselines, and its cost.

    .venv/bin/python -m bench.anomaly --data-dir DIR [--store DIR] [--model NAME ...]

DIR holds mnist/, fashion-mnist/, kmnist/ and emnist-mnist/ as their official idx files. Prints Markdown. All figures
are of the combined p-value at seed 0, the one that /score answers with; the baselines are raw -log p and the length of
a general-purpose lossless code alone, high or low, without any model.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from flows import anomaly
from flows.anomaly.complexity import code_bits
from model_store import LoadedModel, Store, default_root
from trainer.calibration import statistics
from trainer.data import idx
from trainer.detection import detection
from trainer.foreign import corruptions

TEST_FILES = {
    "mnist": "mnist/t10k-images-idx3-ubyte.gz",
    "fashion-mnist": "fashion-mnist/t10k-images-idx3-ubyte.gz",
    "kmnist": "kmnist/t10k-images-idx3-ubyte.gz",
    "emnist-digits": "emnist-mnist/emnist-mnist-test-images-idx3-ubyte.gz",
}
NEAR = {("mnist", "emnist-digits")}
ALPHAS = (0.10, 0.05, 0.01)
COST_BATCH = 256


def test_sets(data_dir: Path) -> dict[str, Tensor]:
    sets = {name: idx.read(data_dir / file) for name, file in TEST_FILES.items()}
    sets["emnist-digits"] = sets["emnist-digits"].transpose(1, 2).contiguous()  # EMNIST stores its digits lying down
    return sets


def binomial_band(alpha: float, count: int) -> tuple[float, float]:
    """The 99 % band of a share alpha among ``count`` items, by the normal approximation."""
    half = 2.576 * math.sqrt(alpha * (1 - alpha) / count)
    return alpha - half, alpha + half


def false_alarms(model: LoadedModel, p_values: Tensor) -> None:
    print(f"\n### False alarms of {model.reference} on its {len(p_values):,} test images\n")
    print("| alpha | alarms | 99 % binomial band | |\n|---|---|---|---|")
    for alpha in ALPHAS:
        share = float((p_values <= alpha).double().mean())
        low, high = binomial_band(alpha, len(p_values))
        verdict = "inside" if low <= share <= high else "OUTSIDE"
        print(f"| {alpha:.2f} | {share:.4f} | {low:.4f} to {high:.4f} | {verdict} |")


def table(model: LoadedModel, home: str, sets: dict[str, Tensor]) -> None:
    calibration = model.calibration
    assert calibration is not None, f"{model.reference} was published without calibration"
    ordinary = statistics(model.flow, sets[home])
    verdict = calibration.judge(ordinary)
    false_alarms(model, verdict.p_value)
    others = {name: images for name, images in sets.items() if name != home}
    foreign = {**others, **corruptions(sets[home])}
    likelihood = anomaly.names_of(model.flow).index("log_likelihood")
    sizes = code_bits(sets[home])
    print(f"\n### What {model.reference} takes for foreign\n")
    print("| foreign set | AUROC | FPR at 95 % TPR | raw -log p | code length alone |\n|---|---|---|---|---|")
    for name, images in foreign.items():
        found = statistics(model.flow, images)
        ours = detection(-verdict.p_value, -calibration.judge(found).p_value)
        raw = detection(-ordinary[:, likelihood], -found[:, likelihood])
        size = detection(sizes, code_bits(images)).auroc
        near = " (near)" if (home, name) in NEAR else ""
        figures = (ours.auroc, ours.fpr_at_95_tpr, raw.auroc, max(size, 1 - size))
        print(f"| {name}{near} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |")


def cost(model: LoadedModel, items: Tensor) -> None:
    calibration = model.calibration
    assert calibration is not None
    flow, batch = model.flow, items[:COST_BATCH]
    bare = _fastest(lambda: flow.log_prob(flow.to_continuous(batch)))
    judged = _fastest(lambda: calibration.judge(anomaly.statistics(flow, flow.to_continuous(batch))))
    ratio = judged / bare
    print(f"\n{model.reference}: likelihood and verdict take {ratio:.2f} times the bare likelihood at {COST_BATCH}.")


def _fastest(work: Callable[[], object], repeats: int = 30) -> float:
    """Seconds of the fastest of several runs: what the machine can do when nothing disturbs it."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--model", action="append", help="a model of the store; by default every image model")
    options = parser.parse_args()
    store, sets = Store(options.store), test_sets(options.data_dir)
    for name in options.model or store.names():
        model = store.load(*store.resolve(name))
        if not model.flow.is_image:
            continue
        home = next(known for known in sorted(sets, key=len, reverse=True) if name.startswith(known))
        print(f"\n## {model.reference}")
        table(model, home, sets)
        cost(model, sets[home])


if __name__ == "__main__":
    main()
