"""How well models of one's own pictures find faults in surfaces, and where: beside methods without a flow.

    make bench-pictures
    .venv/bin/python -m bench.pictures [--surface NAME ...] [--side 64 ...] [--steps N] [--state DIR] [--into FILE]

Surfaces are cut from photographs inside scikit-image; test pictures lie between the training pictures. Six kinds of
defects with masks are put into twelve of them each, and sixty are ordinary. The set "part" is drawn (bench/parts.py)
and has three kinds of defects more, which only the place tells. Every surface and size is trained as ``sluice-train
pictures`` trains it, with a number of steps in place of a budget of time. What is done is kept in the state's folder,
and a run that was stopped goes on from there. Figures that other code measured are kept too: the report counts them.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import flows
from bench import page
from bench.code_hash import code_hash, code_of_run, kept_figures, rows_of_other_code
from bench.defects import SEED, Damaged, Invisible, damage
from bench.map_baselines import BASELINES
from bench.parts import PLACE_DEFECTS, faulty_parts, parts
from bench.picture_models import CODE, PictureModel, trained
from bench.pictures_report import ALPHA, mean, report
from bench.surfaces import WINDOWS, Surface, has_room, surface
from flows.anomaly import PictureCalibration
from flows.nets.precision import exact_float32
from trainer.pictures.dealing import halved
from trainer.report.detection import detection

PART = "part"
"""The name of the drawn set."""
KINDS = ("stain", "scratch", "hole", "blur", "grain", "foreign piece")
_TRAIN, _ORDINARY, _FAULTY = 60, 60, 12
"""Pictures that are trained on, ordinary test pictures, and faulty ones of each kind."""
_FALSE_POSITIVES = 0.3
"""The share of ordinary pixels up to which the overlap of regions is averaged (Bergmann et al. 2019, MVTec AD)."""
_NICE_STEPS = 300
_USUAL = 64
"""Pixels of a side, by default. Figures of larger pictures alone have a place of their own in the page."""
_LARGEST = 256
"""Of larger pictures one photograph has room at most, and foreign pieces would be its own."""
_SPLITS = 20
_TIMED = 25
"""Pictures whose map and likelihood are timed."""
_KNOWN = 100
"""The seed of further ordinary pictures of the places that were trained on."""
MEASURED = (
    *CODE,
    "trainer/report/detection.py",
    "bench/defects.py",
    "bench/map_baselines.py",
    "bench/parts.py",
    "bench/pictures.py",
    "bench/surfaces.py",
)
"""The code that the figures depend on."""

Maps = Callable[[Tensor], tuple[Tensor | None, Tensor]]
"""Pictures -> the scores (N, H, W) of their places, if there are any, and the scores (N,) of the pictures."""


def measured(name: str, side: int, steps: int, state: Path, code: str) -> dict[str, Any]:
    """The figures of one surface at one size, from the state where they are there already. ``code`` is its hash."""
    file = state / f"{name}-{side}-{steps}.json"
    if (found := kept_figures(file, code, f"{name} {side}")) is not None:
        return found
    state.mkdir(parents=True, exist_ok=True)
    cut = _cut(name, side)
    ordinary, faulty = cut.test[:_ORDINARY], _faulty(name, side, cut.test[_ORDINARY:])
    flows = state / f"{name}-{side}-{steps}"
    begun_by = code_of_run(flows, code)
    anew, began = not flows.exists(), time.process_time()
    model = trained(name, cut.train, steps, flows)
    plan, calibration = model.plan, model.calibration
    seconds = time.process_time() - began if anew else None  # flows of a run that was stopped are gone on with
    p_values: dict[str, Tensor] = {}

    def sluice(items: Tensor) -> tuple[Tensor, Tensor]:
        assessed = [calibration.assess(item) for item in items]
        p_values["last"] = torch.cat([each.verdict.p_value for each in assessed])
        p_values["regions"] = torch.stack([each.place_p_value.min() for each in assessed])
        return torch.stack([each.rarity for each in assessed]), torch.stack([each.statistics[-1] for each in assessed])

    methods: dict[str, Maps] = {"Sluice": sluice, **_peers(cut.train, calibration)}
    figures: dict[str, Any] = {
        "code": code if begun_by == code else None,
        "train_cpu_seconds": seconds,
        "place": plan.place,
        "crops": plan.augmentation.told,
        "scenes": len(plan.scenes),
        "methods": {},
    }
    (figures["splits"], figures["split_regions"]), (figures["known_splits"], _) = _splits(model, (ordinary, cut.known))
    for method, maps in methods.items():
        _, calm_scores = maps(ordinary)
        if method == "Sluice":
            figures["alarms"] = int((p_values["last"] <= ALPHA).sum())
            figures["with_region"] = int((p_values["regions"] <= ALPHA).sum())
            figures["ordinary"], figures["n"] = len(ordinary), calibration.size
        rows = {}
        for defect, (items, masks, outlines) in faulty.items():
            places, scores = maps(items)
            row = {"image": detection(calm_scores, scores).auroc}
            if places is not None:
                row["pixel"] = detection(places[~masks], places[masks]).auroc
                row["pixel_outside"] = detection(places[~outlines], places[masks]).auroc
                row["pixel_outlines"] = detection(places[~outlines], places[outlines]).auroc
                row["pro"] = overlap(places, masks)
            if method == "Sluice":
                row["found"] = float((p_values["last"] <= ALPHA).double().mean())
            rows[defect] = row
        figures["methods"][method] = rows
        print(f"{name} {side}: {method} {mean(rows, 'image'):.3f} {mean(rows, 'pixel'):.3f}", flush=True)
    figures["map_seconds"], figures["likelihood_seconds"] = _seconds(calibration, ordinary)
    file.write_text(json.dumps(figures, indent=1))
    return figures


def _cut(name: str, side: int) -> Surface:
    if name == PART:
        test = parts(side, _ORDINARY + len(KINDS) * _FAULTY, 1)
        return Surface(parts(side, _TRAIN, 0), test, parts(side, _ORDINARY, _KNOWN))
    return surface(name, side, _TRAIN, _ORDINARY + len(KINDS) * _FAULTY)._replace(
        known=surface(name, side, _ORDINARY, 1, seed=_KNOWN).train
    )


def _splits(model: PictureModel, sets: Sequence[Tensor]) -> list[tuple[list[float], list[float]]]:
    """Of each set of ordinary pictures the shares that alarm, and that have a region, with halves dealt anew."""
    calibration = model.calibration
    shares: list[tuple[list[float], list[float]]] = [([], []) for _ in sets]
    read = [[list(calibration.readings(item)) for item in ordinary] for ordinary in sets]
    for split in range(_SPLITS):
        generator = torch.Generator().manual_seed(split)
        order = torch.randperm(len(model.readings), generator=generator)
        folds, pairs = model.parts.folds[order], order.argsort()[model.parts.pairs]
        dealt_anew = PictureCalibration.of_readings(
            calibration.densities,
            [model.readings[index] for index in order],
            folds,
            halves=halved(pairs, folds, generator),
            aligned=calibration.aligned,
        )
        for (alarms, regions), pictures in zip(shares, read, strict=True):
            each = [dealt_anew.assess_readings(own) for own in pictures]
            alarms.append(sum(bool(one.verdict.p_value[0] <= ALPHA) for one in each) / len(each))
            regions.append(sum(bool(one.place_p_value.min() <= ALPHA) for one in each) / len(each))
    return shares


def _faulty(name: str, side: int, pictures: Tensor) -> dict[str, Damaged]:
    """For each kind of defect, N pictures with it. Foreign pieces are of the next surface.

    Pictures that cannot show a defect are left out, and a kind that fewer than half of its pictures show.
    """
    names = [each for each in WINDOWS if each == name or has_room(each, side)]
    following = names[(names.index(name) + 1) % len(names)] if name in names else names[0]
    other = surface(following, side, _FAULTY, 1).train
    if other.ndim > pictures.ndim:
        other = other.float().mean(dim=3).to(torch.uint8)
    elif other.ndim < pictures.ndim:
        other = other[..., None].expand(*other.shape, 3)
    found = {}
    for place, defect in enumerate(KINDS):
        generator = torch.Generator().manual_seed(SEED + place)
        items = pictures[place * _FAULTY : (place + 1) * _FAULTY]
        each = []
        for item, piece in zip(items, other, strict=True):
            with suppress(Invisible):
                each.append(damage(item, piece, defect, generator))
        if len(each) < len(items):
            print(f"{name} {side}: {len(each)} of {len(items)} pictures can show a {defect}", flush=True)
        if 2 * len(each) < len(items):
            continue
        found[defect] = Damaged(*(torch.stack(parts) for parts in zip(*each, strict=True)))
    for place, defect in enumerate(PLACE_DEFECTS if name == PART else ()):
        faulty, masks = faulty_parts(side, _FAULTY, 2 + place, defect)
        found[defect] = Damaged(faulty, masks, masks)
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
        # It has a weight for each pixel: 801 MB at 256 pixels.
        **({"dense NICE": _nice(train)} if train.shape[1] <= 64 else {}),
        "raw likelihood": likelihood,
        "PNG size": png,
    }


def _png_bytes(item: Tensor) -> int:
    stream = io.BytesIO()
    Image.fromarray(item.numpy()).save(stream, "PNG", optimize=True)
    return len(stream.getvalue())


def _nice(train: Tensor) -> Maps:
    """A NICE of whole pictures, as the preset images-nice."""
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


def _seconds(calibration: PictureCalibration, items: Tensor) -> tuple[float, float]:
    """How long a picture's map and its bare likelihood take, in turns: a busy machine slows both."""
    took: list[tuple[float, float]] = []
    for item in items[:_TIMED]:
        start = time.process_time()
        calibration.assess(item)
        between = time.process_time()
        calibration.log_likelihood(calibration.log_densities(item))
        took.append((between - start, time.process_time() - between))
    maps, likelihoods = np.median(took, axis=0).tolist()
    return maps, likelihoods


def overlap(places: Tensor, masks: Tensor) -> float:
    """The area under the mean overlap of masks up to 30 % of ordinary pixels, as a share of the greatest area (PRO).

    Each picture has one defect and counts once, also where its mask is in several pieces.
    """
    calm = places[~masks].double().sort().values
    rates = np.linspace(0, _FALSE_POSITIVES, 61)
    levels = calm[((1 - torch.from_numpy(rates)) * (len(calm) - 1)).long()]
    each = [
        torch.stack([(own[mask].double() > level).double().mean() for level in levels])
        for own, mask in zip(places, masks, strict=True)
    ]
    return float(np.trapezoid(torch.stack(each).mean(dim=0).numpy(), rates) / _FALSE_POSITIVES)


def _memory() -> float:
    """Mebibytes of a process that scores a picture of 1,024 x 1,024 pixels."""
    done = subprocess.run([sys.executable, "-m", "bench.pictures_memory"], check=True, capture_output=True, text=True)
    return float(done.stdout)


@torch.inference_mode()
@exact_float32()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surface", action="append", choices=[*WINDOWS, PART], help="by default all of them")
    parser.add_argument("--side", action="append", type=int, help="by default 64")
    parser.add_argument("--steps", type=int, default=400, help="of each flow")
    parser.add_argument("--state", type=Path, default=Path("build/pictures"), help="where figures are kept")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    parser.add_argument(
        "--only-done", action="store_true", help="report what the state holds, and measure nothing but memory"
    )
    options = parser.parse_args()
    if any(side > _LARGEST for side in options.side or ()):
        parser.error(f"--side: more than {_LARGEST}: no two photographs have room for such pictures")
    torch.set_num_threads(1)
    found, sides, code = {}, options.side or [_USUAL], code_hash(MEASURED)
    for side in sides:
        for name in options.surface or (*WINDOWS, PART):
            if name != PART and not has_room(name, side):
                print(f"{name} has no room for pictures of {side}; it is left out", flush=True)
                continue
            if options.only_done and not (options.state / f"{name}-{side}-{options.steps}.json").exists():
                continue
            found[name, side] = measured(name, side, options.steps, options.state, code)
    usual = _USUAL in sides
    lines = list(report(found, _TRAIN, options.steps, _memory() if usual else None))
    lines += rows_of_other_code(([figures] for figures in found.values()), code)
    print("\n".join(lines))
    if options.into:
        command = "make bench-pictures" if usual else "make bench-pictures, larger pictures"
        page.write_into(options.into, command, "\n".join(lines))


if __name__ == "__main__":
    main()
