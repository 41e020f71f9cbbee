"""The model of the comparison: the NICE paper's flow for MNIST, 19.2 million parameters, in a store of its own.

How fast a flow is does not depend on what it has learnt, so this one has learnt nothing: a data-dependent start and a
disturbance that keeps couplings from doing nothing. It is published without calibration, since no peer gives verdicts.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import flows
from flows import Flow
from flows.precision import multiplies_bfloat16
from model_store import LoadedModel, Publication, Report, Store, measure_bfloat16, publish
from model_store.manifest import WEIGHTS

Precision = Literal["float32", "auto"]
"""Settings of the service: what all of its peers compute in, and its own choice, bfloat16 where the machine has it."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
NAME = "bench"
SHAPE = (28, 28)
_DIGITS = Path(__file__).parents[2] / "tests" / "data" / "mnist-subset.npz"
_DISTURBANCE = 5e-3


class Prepared(NamedTuple):
    """A store with the one model in it, its weights' file, and digits (N, 28, 28) uint8 to ask it about.

    ``model.flow`` computes in float32, ``model.serving`` as the service does when it may choose.
    """

    store: Path
    weights: Path
    model: LoadedModel
    digits: NDArray[np.uint8]

    def flow(self, precision: Precision) -> Flow:
        """What a service with this setting answers with."""
        return self.model.flow if precision == "float32" else self.model.serving

    def nets_in(self, precision: Precision) -> str:
        """What its nets then compute in: without fast bfloat16 the service's own choice is float32 too."""
        return "float32" if self.flow(precision) is self.model.flow else self.model.precision


@torch.no_grad()
def prepare(root: Path) -> Prepared:
    """Publish the model into an empty folder."""
    with np.load(_DIGITS) as file:
        train, test = file["train_images"], file["test_images"]
    torch.manual_seed(0)
    flow = flows.nice(SHAPE)
    flow.initialise(flow.to_continuous(torch.from_numpy(train)))
    for parameter in flow.transforms.parameters():
        if parameter.ndim == 2:
            parameter += _DISTURBANCE * torch.randn_like(parameter)
    publication = Publication(
        flow=flow.eval(),
        architecture="nice",
        arguments={},
        golden_items=torch.from_numpy(test[:8]),
        report=Report(card="What the serving benchmark serves."),
        bfloat16=measure_bfloat16(flow, torch.from_numpy(test)),
    )
    published = publish(root, NAME, publication)
    store = Store(root)
    model = store.load(*store.resolve(NAME), bfloat16=multiplies_bfloat16(torch.device("cpu")))
    return Prepared(root, published.path / WEIGHTS, model, test)


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def npy(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
