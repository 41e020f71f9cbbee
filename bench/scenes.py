"""Alarms of new scenes by models of films: with frames of a scene kept together in a fold, and dealt into any.

    .venv/bin/python -m bench.scenes [--surface NAME ...] [--steps N] [--state DIR] [--into FILE]

A film is made up of a photograph inside scikit-image: 20 places that do not overlap, each seen three times, some pixels
further and with noise of its own. Other places are the new pictures, ordinary and with a fault each. What is done is
kept in the state's folder. Figures that other code measured are kept too: a line counts them. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import bands, page
from bench.code_hash import code_hash, code_of_run, kept_figures, rows_of_other_code
from bench.defects import SEED, Invisible, damage
from bench.picture_models import CODE, trained
from bench.surfaces import WINDOWS
from flows.nets.precision import exact_float32

_SIDE, _STEP = 64, 5
"""Pixels of a picture, and by how many two frames of a scene are apart at most."""
_SCENES, _FRAMES, _NEW = 20, 3, 60
_NOISE = 2.0
"""Standard deviation of the noise of a frame, in shades."""
_KINDS = ("stain", "scratch", "hole", "blur", "grain")
_ALPHA = 0.05
_SURFACES = ("brick", "grass", "gravel", "immunohistochemistry")
MEASURED = (*CODE, "bench/defects.py", "bench/scenes.py", "bench/surfaces.py")
"""The code that the figures depend on."""


def films(name: str) -> tuple[Tensor, Tensor]:
    """The frames that are trained on, scene by scene, and new pictures of other places; the same on every machine."""
    from skimage import data

    photographs: Any = data
    whole = np.asarray(getattr(photographs, name)())[WINDOWS[name]]
    generator, room = np.random.default_rng(0), _SIDE + _STEP
    places = [
        (row, column)
        for row in range(0, whole.shape[0] - room + 1, room)
        for column in range(0, whole.shape[1] - room + 1, room)
    ]
    generator.shuffle(places)

    def frame(row: int, column: int) -> Tensor:
        down, across = generator.integers(0, _STEP + 1, 2)
        seen = whole[row + down : row + down + _SIDE, column + across : column + across + _SIDE]
        noisy = (seen + generator.normal(0, _NOISE, seen.shape)).round().clip(0, 255)
        return torch.from_numpy(noisy.astype(np.uint8))

    known = [frame(*place) for place in places[:_SCENES] for _ in range(_FRAMES)]
    return torch.stack(known), torch.stack([frame(*place) for place in places[_SCENES : _SCENES + _NEW]])


def measured(name: str, steps: int, known_scenes: bool, state: Path, code: str) -> dict[str, Any]:
    """The figures of one surface, from the state where they are there already. ``code`` is its hash."""
    run = state / f"scenes-{name}-{steps}{'-known' if known_scenes else ''}"
    file = run.with_suffix(".json")
    if (found := kept_figures(file, code, run.name)) is not None:
        return found
    state.mkdir(parents=True, exist_ok=True)
    begun_by = code_of_run(run, code)
    known, new = films(name)
    model = trained(name, known, steps, run, known_scenes=known_scenes)
    plan, calibration = model.plan, model.calibration
    faulty = []
    for place, item in enumerate(new):
        generator = torch.Generator().manual_seed(SEED + place)
        with suppress(Invisible):
            faulty.append(damage(item, item, _KINDS[place % len(_KINDS)], generator)[0])

    def alarms(items: Sequence[Tensor]) -> float:
        return float(np.mean([float(calibration.assess(item).verdict.p_value[0]) <= _ALPHA for item in items]))

    figures = {
        "code": code if begun_by == code else None,
        "scenes": len(plan.scenes),
        "n": len(known),
        "new": len(new),
        "alarms": alarms(list(new)),
        "found": alarms(faulty),
    }
    file.write_text(json.dumps(figures))
    return figures


def table(found: dict[str, tuple[dict[str, Any], dict[str, Any]]], steps: int) -> Iterator[str]:
    """The figures as Markdown: of each surface those of scenes kept together, and those of any fold."""
    yield (
        f"{_SCENES} scenes of {_FRAMES} frames each, {steps} steps for each of three flows; alarms at {_ALPHA} of "
        "pictures of new scenes, and of such pictures with a fault:\n"
    )
    yield (
        "| surface | scenes found | 99 % band, were pictures independent | alarms | with `--known-scenes` | "
        "faults found | with `--known-scenes` |"
    )
    yield "|---|---:|---|---:|---:|---:|---:|"
    for name, (kept, apart) in found.items():
        band = bands.beta_binomial(apart["new"], _ALPHA, apart["n"])
        yield (
            f"| {name} | {apart['scenes']} | {band} | {kept['alarms']:.3f} | {apart['alarms']:.3f} | "
            f"{kept['found']:.2f} | {apart['found']:.2f} |"
        )


@torch.inference_mode()
@exact_float32()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surface", action="append", choices=list(WINDOWS), help=f"by default {', '.join(_SURFACES)}")
    parser.add_argument("--steps", type=int, default=250, help="of each flow")
    parser.add_argument("--state", type=Path, default=Path("build/pictures"), help="where figures are kept")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    code = code_hash(MEASURED)
    found = {
        name: (
            measured(name, options.steps, False, options.state, code),
            measured(name, options.steps, True, options.state, code),
        )
        for name in options.surface or _SURFACES
    }
    lines = "\n".join([*table(found, options.steps), *rows_of_other_code(found.values(), code)])
    print(lines)
    if options.into:
        page.write_into(options.into, "python -m bench.scenes", lines)


if __name__ == "__main__":
    main()
