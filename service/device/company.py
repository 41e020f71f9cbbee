"""How many rows the batches of a model need on this CPU, so that a row gets the same bits in any company."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from flows.inpainting import SharpModes
from model_store import LoadedModel
from model_store.least_rows import LeastRows, least_encoding, least_rows
from service.device.columns import DECODED_ROWS_MULTIPLE, ROWS_MULTIPLE
from service.device.threads import computing_in


def with_least_rows(model: LoadedModel, threads: int) -> LoadedModel:
    """The model with its ``least_rows``, tried in one thread, in two and in the most that a tick may take.

    Of images on a CPU. On a GPU whole sizes are tried (see ``proof``); of pictures of any size each is a batch of its
    own. In float32 only what a lattice flow encodes is tried, whose nets take one picture at a time: a product of all
    rows together leaves a remainder, which no small trial shows.
    """
    flow, manifest = model.serving, model.manifest
    if not flow.is_image or flow.device.type != "cpu" or manifest.pictures is not None:
        return model
    # The threads of operations belong to the thread that asked for them, and end with it. While more of them wait than
    # there are CPUs, those of a tick go to sleep between two operations: steps took half as long again.
    with ThreadPoolExecutor(1) as passing:
        return replace(model, least_rows=passing.submit(_tried, model, threads).result())


def _tried(model: LoadedModel, threads: int) -> LeastRows | None:
    flow, seed = model.serving, model.manifest.golden.seed
    within = [partial(computing_in, number) for number in sorted({1, min(2, threads), threads})]
    if model.precision == "bfloat16":
        return least_rows(flow, model.golden_items, seed, within)
    if not isinstance(flow, SharpModes):
        return None
    encoding = least_encoding(flow, model.golden_items, seed, within)
    if encoding == len(model.golden_items):  # no fewer agree, and perhaps not even so many
        encoding = ROWS_MULTIPLE
    return LeastRows(encoding, ROWS_MULTIPLE, DECODED_ROWS_MULTIPLE)
