"""Which sizes of batch give a row the same bits: tried with each kind of work when a model comes onto a GPU.

Each size is run three times: as it is, while it is recorded, and replayed. So the trial also shows that a recorded pass
computes what the pass itself does, and leaves everything recorded before the first request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from flows import noise
from flows.inpainting import METHODS
from model_store import LoadedModel
from service.device.columns import Columns
from service.device.program import Program
from service.device.programs import Decode, Encode, Inpaint, Sample, Score, ScoreWithMap
from service.device.runner import Runner
from service.device.sizes import agreeing, gpu_sizes
from service.protocol.defaults import INPAINT_METHOD

logger = logging.getLogger("sluice")

InLoop = Callable[[Callable[[], Any]], Any]
"""Has the device's loop do something between two ticks; returns its result."""

_STEPS = 2
"""Of the inpaintings that are tried."""


def prove_sizes(model: LoadedModel, runner: Runner, in_loop: InLoop) -> None:
    """Find the sizes of batch for every kind of work on a model, and have the runner use them."""
    largest = runner.largest
    known: dict[str, tuple[int, ...]] = {}
    for program, columns in trials(model, runner, in_loop):
        known[program.kind] = proven = _proven(program, columns, runner, in_loop)
        runner.prove(program, proven)
        if proven != gpu_sizes(largest):
            logger.info("%s of %s in batches of %s rows", program.kind, model.reference, ", ".join(map(str, proven)))
    # Rows of a single size always keep their bits, where the two have no size in common.
    every = tuple(size for size in known["inpaint"] if size in known["sample"]) or known["inpaint"][-1:]
    for method in METHODS:
        if method != INPAINT_METHOD:  # other methods take the same passes, forwards, backwards or inverse
            runner.prove(Inpaint(model, method), every)


def _proven(program: Program, columns: Columns, runner: Runner, in_loop: InLoop) -> tuple[int, ...]:
    """The sizes in which rows get the same bits; one alone where they never do."""
    found: dict[int, list[Tensor]] = {}
    for size in gpu_sizes(runner.largest):
        again = partial(answers, runner, program, columns.rows(0, size))
        found[size] = in_loop(again)
        if not all(same(in_loop(again), found[size]) for _ in range(2)):
            logger.warning("%s of %s does not repeat to the bit on this device", program.kind, program.model.reference)
    return agreeing(list(found), lambda few, many: same(found[few], found[many]))


def same(some: list[Tensor], all_of_them: list[Tensor]) -> bool:
    """Whether the first rows of the larger answers are the smaller ones, bit for bit; NaN equals NaN."""
    return all(
        torch.equal(few.nan_to_num(), many[: len(few)].nan_to_num())
        for few, many in zip(some, all_of_them, strict=True)
    )


def answers(runner: Runner, program: Program, columns: Columns) -> list[Tensor]:
    """What a batch of exactly these rows leads to; of an inpainting, its rows after a few steps."""
    if not isinstance(program, Inpaint):
        with torch.inference_mode():
            return runner.exactly(program, columns).flat()
    rows = runner.start(program, columns)
    for _ in range(_STEPS):
        rows = runner.step(program, rows)
    return [tensor.cpu() for tensor in rows.flat()]


def trials(model: LoadedModel, runner: Runner, in_loop: InLoop) -> Iterator[tuple[Program, Columns]]:
    """Every kind of one-tick work, and inpainting, with as many different rows as the largest batch holds."""
    count = runner.largest
    ones = torch.ones(count, dtype=torch.int64)
    keys = noise.keys(0, count)
    draw = Columns({"key": keys, "temperature": ones.double()})
    yield Sample(model), draw
    items = in_loop(lambda: _columns(runner, Sample(model), draw))["items"]
    scored = Columns({"items": items, "seed": ones})
    if model.manifest.pictures is None:  # else it is one picture a tick
        yield Score(model), scored
    if model.map is not None:
        yield ScoreWithMap(model), scored
    yield Encode(model), scored
    latents = in_loop(lambda: _columns(runner, Encode(model), scored))["latents"]
    yield Decode(model), Columns({"latents": latents})
    hidden = torch.zeros_like(items, dtype=torch.bool)
    hidden[:, items.shape[1] // 2 :] = True
    yield (
        Inpaint(model, INPAINT_METHOD),
        Columns(
            {
                "items": items,
                "hidden": hidden,
                "key": keys,
                "seed": ones,
                "steps": ones * 10,
                "step_size": ones.float(),
                "temperature": ones.float(),
            }
        ),
    )


def _columns(runner: Runner, program: Program, columns: Columns) -> Columns:
    with torch.inference_mode():
        return runner.exactly(program, columns)
