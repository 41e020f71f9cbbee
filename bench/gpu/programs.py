"""Every kind of work at several sizes of batch, as it is and as CUDA graphs, beside the card's ceilings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench.gpu.figures import PAPER, Figures
from bench.gpu.timing import seconds
from flows.inpainting import METHODS
from flows.nets.precision import exact_float32
from model_store import LoadedModel, Store
from service.device import proof
from service.device.columns import Columns
from service.device.graphs import Graphs
from service.device.program import Program
from service.device.programs import Inpaint
from service.device.runner import Runner
from service.protocol.defaults import INPAINT_METHOD

_ROWS = (1, 8, 64, 256, 1024, 4096)
_MODELS = ("mnist-nice", "mnist")


def measure(figures: Figures) -> Iterator[dict[str, object]]:
    """Milliseconds of a pass or an ascent step from the CPU and back, rows a second, and the share of the ceiling.

    The ceiling is that of matrix products in the precision of the program's nets. The operations of a pass are those
    of its products and convolutions alone.
    """
    rows = (1, 8) if figures.small else _ROWS
    stores = [(Store(figures.store), name) for name in _MODELS]
    if figures.paper.exists():
        stores.append((Store(figures.paper), PAPER))
    with exact_float32():
        for store, name in stores[:1] if figures.small else stores:
            for bfloat16 in (True,) if figures.small else (False, True):
                model = store.load(*store.resolve(name), figures.device, bfloat16=bfloat16)
                for program, columns in _works(model, figures, max(rows)):
                    operations = _operations(program, columns.rows(0, 8), figures) / 8
                    for count in rows:
                        yield _row(figures, model, program, columns.rows(0, count), operations)


def _row(
    figures: Figures, model: LoadedModel, program: Program, columns: Columns, operations: float
) -> dict[str, object]:
    precision = "float32" if program.flow is model.flow else model.precision
    eager = graphs = None
    if figures.device.type == "cuda":
        recording = Graphs()
        graphs = _seconds(program, columns, Runner(figures.device, len(columns), recording), figures)
        graphs = graphs if recording.recorded else None
    if graphs is None or len(columns) == _ROWS[0]:  # of one row, for what a graph saves
        eager = _seconds(program, columns, Runner(figures.device, len(columns)), figures)
    best = min(each for each in (eager, graphs) if each is not None)
    ceiling = figures.ceiling(f"product in {precision}", "tflops")
    return {
        "model": model.name,
        "precision": precision,
        "kind": program.method if isinstance(program, Inpaint) else program.kind,
        "rows": len(columns),
        "eager_ms": eager * 1e3 if eager is not None else None,
        "graph_ms": graphs * 1e3 if graphs is not None else None,
        "rows_per_second": len(columns) / best,
        "tflops": operations * len(columns) / best / 1e12,
        "share": operations * len(columns) / best / 1e12 / ceiling if ceiling else None,
    }


def _works(model: LoadedModel, figures: Figures, largest: int) -> Iterator[tuple[Program, Columns]]:
    for program, columns in proof.trials(model, Runner(figures.device, largest), lambda work: work()):
        if not isinstance(program, Inpaint):
            yield program, columns
            continue
        for method in METHODS if not figures.small else (INPAINT_METHOD,):
            yield Inpaint(model, method), columns


def _seconds(program: Any, columns: Columns, runner: Runner, figures: Figures) -> float:
    """Of a one-tick program a whole pass, from the CPU and back; of an inpainting one step."""
    budget = 0.02 if figures.small else 0.1
    if isinstance(program, Inpaint):
        rows = runner.start(program, columns)
        for _ in range(3):  # a recording is made at the second
            runner.step(program, rows)
        return seconds(lambda: runner.step(program, rows).done.tolist(), figures.device, budget=budget)
    with torch.inference_mode():
        for _ in range(3):
            runner.exactly(program, columns)
        return seconds(lambda: runner.exactly(program, columns), figures.device, budget=budget)


def _operations(program: Any, columns: Columns, figures: Figures) -> float:
    runner = Runner(figures.device, len(columns))
    rows = runner.start(program, columns) if isinstance(program, Inpaint) else None
    with _Operations() as counter:
        if rows is not None:
            runner.step(program, rows)
        else:
            with torch.no_grad():
                runner.exactly(program, columns)
    return float(counter.total)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts two operations for each multiplication of matrix products and convolutions, backward passes included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=found)
        return found
