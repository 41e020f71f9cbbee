"""The model of the comparison: the NICE paper's flow for MNIST, 19.2 million parameters, in a store of its own.

How fast a flow is does not depend on what it has learnt. This one is not trained: it has the data-dependent
initialisation, and noise on its matrices, without which the couplings would leave their input unchanged. It is
published without calibration, since no peer gives verdicts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray

import flows
from flows import Flow
from flows.nets.precision import multiplies_bfloat16
from model_store import LoadedModel, Publication, Report, Store, measure_bfloat16, publish
from model_store.manifest import WEIGHTS

Precision = Literal["float32", "auto"]
"""Values of the service's setting: float32, as in all peers, or auto, which is bfloat16 where the CPU is fast at it."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
NAME = "bench"
SHAPE = (28, 28)
_DIGITS = Path(__file__).parents[2] / "tests" / "data" / "mnist-subset.npz"
_NOISE = 5e-3
"""Standard deviation of the noise on the matrices: large enough to change every item, too small to overflow."""


class PublishedModel(NamedTuple):
    """A store that holds the model alone, the file of its weights, and digits (N, 28, 28) uint8 to ask about.

    ``model.flow`` computes in float32, ``model.serving`` as the service does when its precision is auto.
    """

    store: Path
    weights: Path
    model: LoadedModel
    digits: NDArray[np.uint8]

    def flow(self, precision: Precision) -> Flow:
        """The flow that a service with this precision answers with."""
        return self.model.flow if precision == "float32" else self.model.serving

    def nets_in(self, precision: Precision) -> str:
        """The dtype of that flow's nets: auto is float32 too where the CPU is not fast at bfloat16."""
        return "float32" if self.flow(precision) is self.model.flow else self.model.precision


@torch.no_grad()
def prepare(root: Path) -> PublishedModel:
    """Publish the model into an empty folder."""
    train, test = digits()
    torch.manual_seed(0)
    flow = flows.nice(SHAPE)
    flow.initialise(flow.to_continuous(torch.from_numpy(train)))
    for parameter in flow.transforms.parameters():
        if parameter.ndim == 2:
            parameter.add_(torch.randn_like(parameter), alpha=_NOISE)
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
    return PublishedModel(root, published.path / WEIGHTS, model, test)


def digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Training and test digits (N, 28, 28) of the subset of MNIST that the tests use."""
    with np.load(_DIGITS) as file:
        return file["train_images"], file["test_images"]
