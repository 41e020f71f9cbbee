"""What a program is: one kind of work of a flow on a batch of rows, a tick at a time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from flows import Flow, inpainting
from model_store import LoadedModel
from model_store.least_rows import LeastRows
from service.device.columns import DECODED_ROWS_MULTIPLE, ROWS_MULTIPLE, VECTOR_ROWS_MULTIPLE, Columns
from service.device.jobs import Job
from service.protocol.errors import Problem, WrongValue
from service.protocol.messages import Arrays

_LARGE = 32 * 32
"""Pixels from which a picture is a batch of its own. Of smaller ones, a batch of eight takes little longer than one."""


class Conclusion(NamedTuple):
    """What jobs that ended together get: rows, numbers that belong to one job each, and the jobs that fail instead."""

    arrays: Arrays
    each: Arrays
    problems: dict[int, Problem]
    """By the job's place."""


@dataclass(frozen=True)
class Program(ABC):
    """One kind of work on one model.

    Rows of programs with equal keys share a batch, and know nothing of each other.
    """

    kind: ClassVar[str]
    iterative: ClassVar[bool] = False
    """Whether a row needs many ticks. Such rows alternate with those that need one."""

    size: ClassVar[int | None] = None
    """The only size of its batches; None where they may have several."""

    recordable: ClassVar[bool] = True
    """Whether a pass looks at no value, so that it can be recorded."""

    @property
    def alone(self) -> bool:
        """Whether on a CPU each row is a batch of its own, which one thread computes.

        So it is of a lattice flow's larger pictures, with nets in float32, where rows need company. A batch filled up
        to 8 or 16 rows would take nearly so many times as long. One thread, since such a row has other last bits in two
        threads.
        """
        large = math.prod(self.flow.item_shape[:2]) >= _LARGE
        float32 = self.flow is self.model.flow
        sharp = isinstance(self.flow, inpainting.SharpModes)
        return self.flow.is_image and large and float32 and sharp and self.rows_multiple > 1

    @property
    def decodes(self) -> bool:
        """Whether a tick takes latents to items."""
        return False

    @property
    def draws(self) -> bool:
        """Whether a tick draws entries given the others, or initial points of an inpainting."""
        return False

    model: LoadedModel

    def row_costs(self, columns: Columns) -> Sequence[int] | None:  # noqa: ARG002
        """Item-ticks (B,) of one tick of each row: in sum what ``Submit.cost`` counts. None where each is one."""
        return None

    @property
    def key(self) -> Hashable:
        return self.kind, self.model.reference

    @property
    def flow(self) -> Flow:
        return self.model.serving

    @property
    def rows_multiple(self) -> int:
        """A batch is filled up to a multiple of this number of rows, so that no row's bits depend on the others."""
        if not self.flow.is_image:
            return VECTOR_ROWS_MULTIPLE
        least = self.model.least_rows if self.flow is self.model.serving else None
        if least is None:
            least = LeastRows(ROWS_MULTIPLE, ROWS_MULTIPLE, DECODED_ROWS_MULTIPLE)
        if self.decodes:
            return least.decoding
        return least.drawing if self.draws else least.encoding


class OneTick(Program):
    """Work that is done in one tick."""

    @abstractmethod
    def compute(self, columns: Columns) -> Columns:
        """What requests sent (B, ...) -> what they get (B, ...), both on the flow's device.

        Looks at no value, so that the device can work ahead and a CUDA graph can record it.
        """

    def conclude(self, jobs: Sequence[Job], columns: Columns) -> Conclusion:
        """The answers of jobs whose rows follow one another in ``columns``. Rows that are not finite fail their job."""
        bad: dict[int, Problem] = {}
        arrays = {name: tensor.numpy() for name, tensor in columns.tensors.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            bad = _failures(jobs, arrays, self.field)
        return Conclusion(arrays, {}, bad)

    field: ClassVar[str] = "items"
    """The parameter that a row without a finite answer is blamed on."""


def _failures(jobs: Sequence[Job], arrays: Arrays, field: str) -> dict[int, Problem]:
    found: dict[int, Problem] = {}
    start = 0
    for place, job in enumerate(jobs):
        stop = start + len(job)
        parts = [array[start:stop].reshape(stop - start, -1) for array in arrays.values()]
        bad = ~np.concatenate([np.isfinite(part) for part in parts], axis=1).all(axis=1)
        if bad.any():
            first = int(bad.argmax())
            found[place] = WrongValue(f"the model has no finite answer for item {first}", f"{field}[{first}]")
        start = stop
    return found
