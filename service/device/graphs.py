"""CUDA graphs: all kernels of a pass as one launch.

A pass of a small batch is hundreds of kernels of a few microseconds, and the processor takes longer to launch each than
the GPU to run it. A graph records the launches once, with the addresses that they read and write, and replays them.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from flows import Flow
from service.device.columns import Rows

logger = logging.getLogger("sluice")

Work = Callable[[Any], Any]
"""Rows -> rows, without a look at any value: what depends on the rows is computed on the device."""


class Recording(Protocol):
    """A pass over rows of one size, which reads and writes the same memory every time."""

    @property
    def outputs(self) -> Sequence[Tensor]:
        """What each replay computes anew."""

    def replay(self) -> None: ...


Record = Callable[[Callable[[], list[Tensor]], Any], Recording]
"""Makes a recording of work that gives its outputs, within a memory pool."""


class CudaRecording:
    """The kernels of a piece of work, recorded as a CUDA graph."""

    def __init__(self, work: Callable[[], list[Tensor]], pool: Any) -> None:
        self._graph = torch.cuda.CUDAGraph()
        # Models are loaded in another thread meanwhile, whose allocations must not end the recording.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self.outputs = work()

    def replay(self) -> None:
        self._graph.replay()


class Graphs:
    """Recordings of passes by flow, kind of work and size. Belongs to the device's loop.

    The first pass of a kind and size runs as it is, which also loads its kernels; the second is recorded. Work that
    cannot be recorded goes on as it is, with a warning.
    """

    def __init__(self, record: Record = CudaRecording) -> None:
        self._record = record
        self._pool: Any = None
        self._passes: WeakKeyDictionary[Flow, dict[Hashable, _Pass | None]] = WeakKeyDictionary()
        self.recorded = self.failed = 0

    def __len__(self) -> int:
        """The number of kinds and sizes of work seen so far."""
        return sum(map(len, self._passes.values()))

    def run(self, flow: Flow, kind: Hashable, work: Work, rows: Any) -> Any:
        """``work(rows)``, by a replay where it was recorded. The result shares no memory with any other."""
        passes = self._passes.setdefault(flow, {})
        key = kind, tuple((tensor.shape, tensor.dtype) for tensor in rows.flat())
        if key not in passes:
            passes[key] = None
            return work(rows)
        found = passes[key]
        if found is None:
            found = passes[key] = self._try(work, rows, kind)
        return found(rows) if found.recording is not None else work(rows)

    def _try(self, work: Work, rows: Any, kind: Hashable) -> _Pass:
        if self._pool is None and self._record is CudaRecording:
            self._pool = torch.cuda.graph_pool_handle()
        attempt = _Pass(rows)
        try:
            attempt.record(work, self._record, self._pool)
            self.recorded += 1
        except Exception as error:  # a capture that fails raises whatever its first forbidden call raises
            self.failed += 1
            self._pool = None  # PyTorch takes a pool for one that is still being recorded to
            attempt.recording = None
            logger.warning("passes of %s run without a CUDA graph: %s", kind, str(error).partition("\n")[0])
        return attempt


class _Pass:
    """A recorded pass: memory for what goes in, the recording, and the kind of rows that comes out."""

    def __init__(self, rows: Rows) -> None:
        self._inputs = [tensor.clone(memory_format=torch.contiguous_format) for tensor in rows.flat()]
        self._rows: Rows = rows.like(self._inputs)
        self._result: Any = None
        self.recording: Recording | None = None

    def record(self, work: Work, record: Record, pool: Any) -> None:
        def outputs() -> list[Tensor]:
            self._result = work(self._rows)
            found: list[Tensor] = self._result.flat()
            return found

        self.recording = record(outputs, pool)

    def __call__(self, rows: Rows) -> Any:
        assert self.recording is not None
        copy_all(self._inputs, rows.flat())
        self.recording.replay()
        # Graphs share their memory: the next replay may write over what this one computed.
        outputs = self.recording.outputs
        results = [torch.empty(output.shape, dtype=output.dtype, device=output.device) for output in outputs]
        copy_all(results, outputs)
        return self._result.like(results)


def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy tensors, those of one dtype in one launch."""
    groups: defaultdict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
    for target, source in zip(targets, sources, strict=True):
        groups[target.dtype][0].append(target)
        groups[target.dtype][1].append(source)
    for into, out_of in groups.values():
        torch._foreach_copy_(into, out_of)
