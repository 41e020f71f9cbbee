"""How well models of one's own pictures find faults in surfaces, and where: beside methods without a flow.

    make bench-pictures
    .venv/bin/python -m bench.pictures [--surface NAME ...] [--side 64 ...] [--steps N] [--state DIR] [--into FILE]

Surfaces are cut from photographs inside scikit-image; test pictures lie between the training pictures. Six
kinds of defects with masks are put into half of them. Every surface and size is trained as ``sluice-train pictures``
trains it, with a number of steps in place of a budget of time. What is done is kept in the state's folder, and a run
that was stopped goes on from there. Prints Markdown.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import flows
from bench import bands, page
from bench.defects import SEED, damage
from bench.map_baselines import BASELINES
from bench.surfaces import WINDOWS, surface
from flows.anomaly import PictureCalibration
from flows.nets.precision import exact_float32
from model_store import round_weights
from trainer.data.picture_folder import FoundPictures
from trainer.pictures.folds import dealt, train_folds
from trainer.pictures.plan import planned
from trainer.pictures.publication import calibrated
from trainer.presets.pictures import PICTURES
from trainer.report.detection import detection
from trainer.run.device import choose_precision
from trainer.run.run_directory import RunDirectory
from trainer.run.settings import Computing

DEFECTS = ("stain", "scratch", "hole", "blur", "grain", "foreign piece")
_TRAIN, _ORDINARY, _FAULTY = 60, 60, 12
"""Pictures that are trained on, ordinary test pictures, and faulty ones of each kind."""
_FALSE_POSITIVES = 0.3
"""The share of ordinary pixels up to which the overlap of regions is averaged (Bergmann et al. 2019, MVTec AD)."""
_NICE_STEPS = 300
ALPHA = 0.05

Maps = Callable[[Tensor], tuple[Tensor | None, Tensor]]
"""Pictures -> the scores (N, H, W) of their places, if there are any, and the scores (N,) of the pictures."""


def measured(name: str, side: int, steps: int, state: Path) -> dict[str, Any]:
    """The figures of one surface at one size, from the state where they are there already."""
    file = state / f"{name}-{side}-{steps}.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    state.mkdir(parents=True, exist_ok=True)
    cut = surface(name, side, _TRAIN, _ORDINARY + len(DEFECTS) * _FAULTY)
    began = time.process_time()
    calibration = _trained(name, cut.train, steps, state / f"{name}-{side}-{steps}")
    seconds = time.process_time() - began
    ordinary, faulty = cut.test[:_ORDINARY], _faulty(name, side, cut.test[_ORDINARY:])
    took: list[float] = []
    p_values: dict[str, Tensor] = {}

    def sluice(items: Tensor) -> tuple[Tensor, Tensor]:
        assessed = []
        for item in items:
            start = time.process_time()
            assessed.append(calibration.assess(item))
            took.append(time.process_time() - start)
        p_values["last"] = torch.cat([each.verdict.p_value for each in assessed])
        p_values["regions"] = torch.stack([each.place_p_value.min() for each in assessed])
        return torch.stack([each.rarity for each in assessed]), torch.stack([each.statistics[1] for each in assessed])

    methods: dict[str, Maps] = {"Sluice": sluice, **_peers(cut.train, calibration)}
    figures: dict[str, Any] = {"train_cpu_seconds": seconds, "methods": {}}
    for method, maps in methods.items():
        _, calm_scores = maps(ordinary)
        if method == "Sluice":
            figures["alarms"] = int((p_values["last"] <= ALPHA).sum())
            figures["with_region"] = int((p_values["regions"] <= ALPHA).sum())
            figures["ordinary"], figures["n"] = len(ordinary), calibration.size
        rows = {}
        for defect, (items, masks) in faulty.items():
            places, scores = maps(items)
            row = {"image": detection(calm_scores, scores).auroc}
            if places is not None:
                row["pixel"] = detection(places[~masks], places[masks]).auroc
                row["pro"] = overlap(places, masks)
            if method == "Sluice":
                row["found"] = float((p_values["last"] <= ALPHA).double().mean())
            rows[defect] = row
        figures["methods"][method] = rows
        print(f"{name} {side}: {method} {_mean(rows, 'image'):.3f} {_mean(rows, 'pixel'):.3f}", flush=True)
    figures["map_seconds"] = float(np.median(took))
    figures["likelihood_seconds"] = _likelihood_seconds(calibration, ordinary)
    file.write_text(json.dumps(figures, indent=1))
    return figures


def _trained(name: str, pictures: Tensor, steps: int, run_dir: Path) -> PictureCalibration:
    side = pictures.shape[1]
    found = FoundPictures(Path(name), (), ((side, side),) * len(pictures), 3 if pictures.ndim == 4 else 1, 8, ())
    plan, items = planned(found, size=side, steps=steps), list(pictures)
    preset, device = plan.preset(PICTURES), torch.device("cpu")
    folds = dealt([item.numpy().tobytes() for item in items], 0)
    with torch.inference_mode(False), torch.enable_grad():
        flows = train_folds(
            plan,
            preset,
            items,
            folds,
            seconds=None,
            seed=0,
            device=device,
            computing=Computing(precision=choose_precision("auto", device), graph=False),
            run_dir=RunDirectory(run_dir),
            say=lambda text: print(f"{name} {side}: {text}", flush=True),
            stop_requested=lambda: False,
        )
    for each in flows:
        round_weights(each.flow, preset.weights_dtype)
    return calibrated(plan, flows, items, folds, print)[0]


def _faulty(name: str, side: int, pictures: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """For each kind of defect, pictures with it and their masks. Foreign pieces are of the next surface."""
    names = list(WINDOWS)
    other = surface(names[(names.index(name) + 1) % len(names)], side, _FAULTY, 1).train
    if other.ndim > pictures.ndim:
        other = other.float().mean(dim=3).to(torch.uint8)
    elif other.ndim < pictures.ndim:
        other = other[..., None].expand(*other.shape, 3)
    found = {}
    for place, defect in enumerate(DEFECTS):
        generator = torch.Generator().manual_seed(SEED + place)
        items = pictures[place * _FAULTY : (place + 1) * _FAULTY]
        pairs = [damage(item, piece, defect, generator) for item, piece in zip(items, other, strict=True)]
        found[defect] = torch.stack([copy for copy, _ in pairs]), torch.stack([mask for _, mask in pairs])
    return found


def _peers(train: Tensor, calibration: PictureCalibration) -> dict[str, Maps]:
    def patch(scorer: Any) -> Maps:
        def maps(items: Tensor) -> tuple[Tensor, Tensor]:
            places = scorer.score(items)
            return places, places.flatten(1).amax(dim=1)

        return maps

    def likelihood(items: Tensor) -> tuple[None, Tensor]:
        return None, -torch.stack([calibration.log_likelihood(calibration.log_densities(item)) for item in items])

    def png(items: Tensor) -> tuple[None, Tensor]:
        return None, torch.tensor([float(_png_bytes(item)) for item in items])

    return {
        **{name: patch(kind(train)) for name, kind in BASELINES.items()},
        "dense NICE": _nice(train),
        "raw likelihood": likelihood,
        "PNG size": png,
    }


def _png_bytes(item: Tensor) -> int:
    stream = io.BytesIO()
    Image.fromarray(item.numpy()).save(stream, "PNG", optimize=True)
    return len(stream.getvalue())


def _nice(train: Tensor) -> Maps:
    """A NICE of whole pictures, as the preset images-nice; at most 64 pixels wide, since it has a weight for each."""
    if train.shape[1] > 64:
        return lambda items: (None, torch.zeros(len(items)))
    with torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(0)
        train = train.clone()  # those made in inference mode cannot be trained on
        flow = flows.nice(tuple(train.shape[1:]), couplings=8, hidden=[260, 260], prior="logistic")
        with torch.no_grad():
            flow.initialise(flow.to_continuous(train))
        optimiser = torch.optim.AdamW(flow.parameters(), lr=1e-3, weight_decay=0.3)
        for step in range(_NICE_STEPS):
            batch = train[torch.randint(len(train), (32,))]
            optimiser.zero_grad()
            loss = -flow.log_prob(flow.to_continuous(batch, step)).mean() / flow.dimensions
            torch.autograd.backward(loss)
            optimiser.step()
    return lambda items: (None, -flow.log_prob(flow.to_continuous(items)).detach())


def _likelihood_seconds(calibration: PictureCalibration, items: Tensor) -> float:
    took = []
    for item in items[:9]:
        start = time.process_time()
        calibration.log_likelihood(calibration.log_densities(item))
        took.append(time.process_time() - start)
    return float(np.median(took))


def overlap(places: Tensor, masks: Tensor) -> float:
    """The area under the mean overlap of masks up to 30 % of ordinary pixels, as a share of the greatest area (PRO).

    Every picture has one defect, so its mask is one region.
    """
    calm = places[~masks].double().sort().values
    rates = np.linspace(0, _FALSE_POSITIVES, 61)
    levels = calm[((1 - torch.from_numpy(rates)) * (len(calm) - 1)).long()]
    each = [
        torch.stack([(own[mask].double() > level).double().mean() for level in levels])
        for own, mask in zip(places, masks, strict=True)
    ]
    return float(np.trapezoid(torch.stack(each).mean(dim=0).numpy(), rates) / _FALSE_POSITIVES)


def _mean(rows: Mapping[str, Mapping[str, float]], figure: str) -> float:
    found = [row[figure] for row in rows.values() if figure in row]
    return float(np.mean(found)) if found else float("nan")


def report(found: Mapping[tuple[str, int], dict[str, Any]], steps: int) -> Iterator[str]:
    """The tables, in Markdown."""
    yield f"\n{_TRAIN} training pictures of each surface, {steps} steps for each of three flows.\n"
    yield "Mean of six kinds of defects, AUROC of pictures / AUROC of pixels / PRO at 30 %:\n"
    methods = list(next(iter(found.values()))["methods"])
    yield f"| surface | size | {' | '.join(methods)} |\n|---|---:|{'---|' * len(methods)}"
    total: dict[str, list[list[float]]] = {method: [] for method in methods}
    for (name, side), figures in found.items():
        cells = []
        for method in methods:
            own = [_mean(figures["methods"][method], figure) for figure in ("image", "pixel", "pro")]
            total[method].append(own)
            cells.append(_cell(own))
        yield f"| {name} | {side} | {' | '.join(cells)} |"
    yield f"| **mean** | | {' | '.join(_cell(list(np.mean(total[method], axis=0))) for method in methods)} |"
    yield "\nBy kind of defect, mean of the surfaces, the same three figures, and the share found at 0.05:\n"
    yield "| defect | Sluice | found |\n|---|---|---:|"
    for defect in DEFECTS:
        rows = [figures["methods"]["Sluice"][defect] for figures in found.values()]
        own = [float(np.mean([row[figure] for row in rows])) for figure in ("image", "pixel", "pro", "found")]
        yield f"| {defect} | {_cell(own[:3])} | {own[3]:.2f} |"
    yield "\nOrdinary test pictures at alpha = 0.05:\n"
    yield "| surface | size | alarms | with any region | 99 % band | map / bare likelihood | training, CPU minutes |"
    yield "|---|---:|---:|---:|---|---:|---:|"
    for (name, side), figures in found.items():
        band = bands.beta_binomial(figures["ordinary"], ALPHA, figures["n"])
        shares = [figures[key] / figures["ordinary"] for key in ("alarms", "with_region")]
        ratio = figures["map_seconds"] / figures["likelihood_seconds"]
        yield (
            f"| {name} | {side} | {shares[0]:.3f} | {shares[1]:.3f} | {band} | {ratio:.2f} | "
            f"{figures['train_cpu_seconds'] / 60:.1f} |"
        )


def _cell(values: list[float]) -> str:
    return " / ".join("-" if np.isnan(value) else f"{value:.3f}" for value in values)


@torch.inference_mode()
@exact_float32()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surface", action="append", choices=list(WINDOWS), help="by default all of them")
    parser.add_argument("--side", action="append", type=int, help="by default 64")
    parser.add_argument("--steps", type=int, default=400, help="of each flow")
    parser.add_argument("--state", type=Path, default=Path("build/pictures"), help="where figures are kept")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    parser.add_argument("--only-done", action="store_true", help="report what the state holds, and measure nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for side in options.side or [64]:
        for name in options.surface or WINDOWS:
            if options.only_done and not (options.state / f"{name}-{side}-{options.steps}.json").exists():
                continue
            found[name, side] = measured(name, side, options.steps, options.state)
    lines = list(report(found, options.steps))
    print("\n".join(lines))
    if options.into:
        page.write_into(options.into, "make bench-pictures", "\n".join(lines))


if __name__ == "__main__":
    main()
