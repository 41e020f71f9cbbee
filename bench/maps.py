"""How well maps show where a picture is strange: places and pictures found, false alarms, and the time of a map.

    make bench-maps [DATA=DIR]
    .venv/bin/python -m bench.maps [--data-dir DIR] [--store DIR] [--model NAME ...] [--limit N] [--into FILE]

Defects with masks are put into test pictures (see bench/defects.py). Beside the map stand three that need no flow,
fitted to training pictures. A picture's score is the highest of its places. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from bench import bands, page
from bench.anomaly_data import own_items
from bench.defects import DEFECTS, damaged
from bench.map_baselines import BASELINES
from flows import anomaly
from flows.nets.precision import multiplies_bfloat16
from model_store import LoadedModel, Store, default_root
from service.device.columns import Columns
from service.device.program import Program
from service.device.programs import Score, ScoreWithMap
from trainer.report.detection import detection

ALPHAS = (0.10, 0.05, 0.01)
_FIRST = 4000
"""Test pictures before this one helped to choose how maps are made, and play no part here."""
_FITTED = 2000
"""Training pictures that the baselines are fitted to."""
_BATCH, _PAIRS = 64, 9


def report(model: LoadedModel, data_dir: Path | None, limit: int, faulty: int) -> Iterator[str]:
    """Lines of Markdown on one model: false alarms of ``limit`` pictures, and ``faulty`` of each defect."""
    assert model.map is not None
    yield f"\n## {model.reference}\n"
    training, test = own_items(model, data_dir)
    ordinary = test[_FIRST : _FIRST + limit]
    found = maps_of(model, ordinary)
    least = found.p_value.flatten(1).amin(dim=1)
    yield f"{model.map!r}. Ordinary test pictures with any region, of {len(ordinary):,}:\n"
    yield f"| alpha | share | 99 % band for n = {model.map.size:,} |\n|---|---|---|"
    for alpha in ALPHAS:
        share, band = float((least <= alpha).double().mean()), bands.beta_binomial(len(ordinary), alpha, model.map.size)
        yield f"| {alpha:.2f} | {share:.4f} | {band}{'' if share in band else ', OUTSIDE'} |"
    scorers = {name: kind(training[:_FITTED]).score for name, kind in BASELINES.items()}
    plain = {"map": found.rarity, **{name: score(ordinary) for name, score in scorers.items()}}
    yield f"\nAUROC of pixels / of pictures, {faulty} pictures of each defect:\n"
    yield f"| defect | {' | '.join(plain)} |\n|---|{'---|' * len(plain)}"
    total = {name: [0.0, 0.0] for name in plain}
    for defect in DEFECTS:
        items, masks = damaged(ordinary[:faulty], defect)
        cells = []
        for name, calm in plain.items():
            scores = maps_of(model, items).rarity if name == "map" else scorers[name](items)
            pixels, pictures = aurocs(calm, scores, masks)
            total[name] = [total[name][0] + pixels, total[name][1] + pictures]
            cells.append(f"{pixels:.3f} / {pictures:.3f}")
        yield f"| {defect} | {' | '.join(cells)} |"
    means = (f"{pixels / len(DEFECTS):.3f} / {pictures / len(DEFECTS):.3f}" for pixels, pictures in total.values())
    yield f"| **mean** | {' | '.join(means)} |"
    bare, judged = cost(model, ordinary)
    yield f"\nA score with its map takes {bare:.2f} times the bare likelihood and {judged:.2f} times the plain score,"
    yield f"at batch {_BATCH}, medians of {_PAIRS} pairs in one thread."


def aurocs(ordinary: Tensor, faulty: Tensor, masks: Tensor) -> tuple[float, float]:
    """Of the pixels of faulty pictures (M, H, W) against the others there, and of pictures by their highest score."""
    highest = (scores.flatten(1).amax(dim=1) for scores in (ordinary, faulty))
    return detection(faulty[~masks], faulty[masks]).auroc, detection(*highest).auroc


def maps_of(model: LoadedModel, items: Tensor) -> anomaly.AnomalyMap:
    """The maps of pictures (N, *item_shape), at seed 0, as the service makes them."""
    flow, calibration = model.serving, model.map
    assert calibration is not None
    parts = (calibration.judge(anomaly.pixel_nats(flow, flow.to_continuous(part))) for part in torch.split(items, 250))
    return anomaly.AnomalyMap(*map(torch.cat, zip(*parts, strict=True)))


def cost(model: LoadedModel, items: Tensor) -> tuple[float, float]:
    """How many times the bare likelihood, and the score alone, a score with its map takes; measured in pairs."""
    batch = items[:_BATCH]
    columns = Columns({"items": batch, "seed": torch.zeros(len(batch), dtype=torch.int64)})
    flow = model.serving

    def seconds(program: Program | None) -> float:
        began = time.perf_counter()
        if program is None:
            flow.log_prob(flow.to_continuous(batch, columns["seed"]))
        else:
            program.compute(columns)  # type: ignore[attr-defined]
        return time.perf_counter() - began

    with_map, alone = ScoreWithMap(model), Score(model)
    ratios = []
    for _ in range(_PAIRS + 1):
        mapped = seconds(with_map)
        ratios.append((mapped / seconds(None), mapped / seconds(alone)))
    first, second = zip(*ratios[1:], strict=True)
    return statistics.median(first), statistics.median(second)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with the original files; by default they are downloaded")
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--model", action="append", help="a model of the store; by default every one that has maps")
    parser.add_argument("--limit", type=int, default=2000, help="ordinary test pictures")
    parser.add_argument("--faulty", type=int, default=200, help="pictures of each defect")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    page.refuse_parts(parser, options, "model")
    torch.set_num_threads(1)
    store, lines = Store(options.store), []
    for name in options.model or store.names():
        if store.manifest(*store.resolve(name)).map is None:
            continue
        model = store.load(*store.resolve(name), bfloat16=multiplies_bfloat16(torch.device("cpu")))
        for line in report(model, options.data_dir, options.limit, options.faulty):
            print(line, flush=True)
            lines.append(line)
    if options.into:
        page.write_into(options.into, "make bench-maps", "\n".join(lines))


if __name__ == "__main__":
    main()
