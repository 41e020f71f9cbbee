"""A row's bits alone and among others: raw, by size of batch, and in the sizes that the service uses."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from bench.gpu.figures import Figures
from flows.nets.precision import exact_float32
from model_store import Store
from service.device import proof, sizes
from service.device.graphs import Graphs
from service.device.hardware import batch_rows
from service.device.programs import Inpaint
from service.device.runner import Runner
from service.protocol.defaults import INPAINT_METHOD

_MODELS = ("mnist-nice", "mnist", "moons", "moons-nice", "moons-realnvp")
_ROWS = (1, 2, 3, 8, 31, 64, 100, 256)


def measure(figures: Figures) -> Iterator[dict[str, object]]:
    """Of each kind of work: the sizes whose bits agree, the service's sizes, and whether rows keep their bits there."""
    store, gpu = Store(figures.store), figures.device.type == "cuda"
    with exact_float32():
        for name in _MODELS[:1] if figures.small else _MODELS:
            for bfloat16 in (True,) if figures.small else (False, True):
                model = store.load(*store.resolve(name), figures.device, bfloat16=bfloat16)
                if bfloat16 and model.precision == "float32":
                    continue
                largest = 64 if figures.small else batch_rows(figures.device)
                runner = Runner(figures.device, largest, Graphs() if gpu else None)
                began = time.perf_counter()
                proof.prove_sizes(model, runner, lambda work: work())
                proving = time.perf_counter() - began
                for program, columns in proof.trials(model, runner, lambda work: work()):
                    tried = (1, 8, 32, 64) if figures.small else tuple(2**power for power in range(12))
                    answers = {
                        size: proof.answers(Runner(figures.device, largest), program, columns.rows(0, size))
                        for size in tried
                        if size <= largest
                    }
                    classes: list[list[int]] = []
                    for size in answers:
                        for known in classes:
                            small, large = sorted((size, known[0]))
                            if proof.same(answers[small], answers[large]):
                                known.append(size)
                                break
                        else:
                            classes.append([size])
                    kept = True
                    if not isinstance(program, Inpaint):
                        whole = proof.answers(runner, program, columns)
                        with torch.inference_mode():
                            fitted = [
                                runner.compute(program, columns.rows(0, rows)).rows(0, rows).flat()
                                for rows in _ROWS
                                if rows <= largest
                            ]
                        kept = all(proof.same(found, whole) for found in fitted)
                    yield {
                        "model": name,
                        "precision": model.precision,
                        "kind": program.kind if not isinstance(program, Inpaint) else INPAINT_METHOD,
                        "agreeing": classes,
                        "tried": list(sizes.gpu_sizes(largest)),
                        "used": runner.sizes(program).proven,
                        "kept": kept,
                        "proving_seconds": proving,
                    }
