"""Takes batches through the device: fills them up, copies them there and back, and replays recorded passes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch

from service.device.columns import Columns, filled
from service.device.graphs import Graphs
from service.device.sizes import Sizes, gpu_sizes


class Runner:
    """One device's passes. Belongs to its loop.

    ``graphs``, where given, records what passes of one size have in common.
    """

    def __init__(self, device: torch.device, max_rows: int, graphs: Graphs | None = None) -> None:
        self.device, self.largest, self.graphs = device, max_rows, graphs
        self._sizes: dict[Hashable, Sizes] = {}

    def sizes(self, program: Any) -> Sizes:
        """The sizes of the program's batches."""
        found = self._sizes.get(program.key)
        if found is None:
            proven: Sequence[int] | int = program.rows_multiple
            if program.size is not None:
                proven = (program.size,)
            elif self.device.type != "cpu":
                proven = gpu_sizes(self.largest)[-1:]
            elif program.alone:
                proven = (1,)
            found = self._sizes[program.key] = Sizes(proven, self.largest)
        return found

    def prove(self, program: Any, sizes: Sequence[int]) -> None:
        """From now on batches of this program have one of these sizes."""
        self._sizes[program.key] = Sizes(sizes, self.largest)

    def compute(self, program: Any, columns: Columns) -> Columns:
        """The only tick of a one-tick program's rows, from the CPU and back to it; filling rows come last."""
        return self.exactly(program, filled(columns, self.sizes(program).fit(len(columns))))

    def exactly(self, program: Any, columns: Columns) -> Columns:
        """``compute`` in a batch of exactly these rows."""
        found: Columns = self._pass(program, program.compute, columns.to(self.device))
        return found.to_cpu()

    def start(self, program: Any, columns: Columns) -> Any:
        """Columns on the CPU -> rows of an iterative program on the device."""
        return program.start(columns.to(self.device))

    def step(self, program: Any, rows: Any) -> Any:
        """One tick of an iterative program's rows, which are left as they are."""
        return self._pass(program, program.step, rows)

    def _pass(self, program: Any, work: Any, rows: Any) -> Any:
        if self.graphs is None or not program.recordable:
            return work(rows)
        return self.graphs.run(program.flow, program.key, work, rows)
