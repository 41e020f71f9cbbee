"""One training step: what happens on the device for one batch, without a wait of the host for a value.

On CUDA a step is thousands of small kernels, and starting them takes longer than running them. So a step may be
recorded as a CUDA graph and replayed by one call.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from trainer.errors import TrainerError
from trainer.optimisers import ema_decay
from trainer.presets import Precision, Preset
from trainer.run.device import autocast
from trainer.run.jitter import Jitter
from trainer.run.randomness import augment, dequantise
from trainer.run.ranks import Ranks
from trainer.run.state import Progress, TrainingState

_WARM_UPS = 3
"""Steps before a graph is recorded: libraries choose and load their kernels, and the optimiser makes its state."""


class TrainingStep:
    """A step of a run: gradient of one batch, clipping, optimiser, moving average, and the sums that are reported.

    ``items`` (N, *item_shape) are the training items on the device. A step whose gradient is not finite changes
    nothing and is counted. The likelihoods and counts stay on the device until ``report`` reads them.
    """

    def __init__(
        self, state: TrainingState, model: nn.Module, items: Tensor, preset: Preset, precision: Precision, ranks: Ranks
    ) -> None:
        self.state, self.model, self.items = state, model, items
        self.preset, self.precision, self.ranks = preset, precision, ranks
        self.parameters = [parameter for parameter in state.flow.parameters() if parameter.requires_grad]
        device, share = state.flow.device, preset.batch_size // ranks.count
        self.rows = torch.zeros(share, dtype=torch.int64, device=device)
        self.keys = torch.zeros(share, dtype=torch.int64, device=device)
        self.pace = torch.zeros((), device=device)
        """The share of the new weights in the moving average."""
        self.allowed = torch.ones((), dtype=torch.bool, device=device)
        """Whether a step may change anything; not while kernels are loaded or recorded."""
        self.sum = torch.zeros((), dtype=torch.float64, device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.skipped_in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        self.limit = skipped_at_most(preset.steps_of(len(items)))
        self.jitter = Jitter.of(state.flow, items, preset)
        self.run: Callable[[], None] = self.compute

    def begin(self, progress: Progress) -> None:
        """Take over the sums of an epoch from ``progress``."""
        self.sum.fill_(progress.log_likelihood_sum)
        self.skipped.fill_(progress.skipped)
        self.skipped_in_a_row.fill_(progress.skipped_in_a_row)

    def report(self, progress: Progress) -> None:
        """Write the sums to ``progress``. Waits for the device."""
        progress.log_likelihood_sum = float(self.ranks.sum(self.sum)) / self.ranks.count
        progress.skipped = int(self.skipped)
        progress.skipped_in_a_row = int(self.skipped_in_a_row)

    def __call__(self, rows: Tensor, keys: Tensor, step: int, rate: float) -> None:
        """Do step ``step``, from 0, with the training items ``rows`` (B,) and the keys (B,) of their noise."""
        self.rows.copy_(rows)
        self.keys.copy_(keys)
        self.state.optimiser.set_rate(rate)
        self.pace.fill_(1 - ema_decay(self.preset, step))
        self.run()

    def compute(self) -> None:
        """The step itself, on the tensors that this object holds."""
        flow, optimiser = self.state.flow, self.state.optimiser
        for parameter in self.parameters:
            parameter.grad = None
        items = augment(self.items[self.rows], self.keys) if self.preset.flip else self.items[self.rows]
        x = dequantise(flow, items, self.keys)
        if self.jitter is not None:
            x = self.jitter(x, self.keys)
        with autocast(flow.device, self.precision):
            log_likelihood = self.model(x).mean()
        torch.autograd.backward(-log_likelihood / flow.dimensions)

        norm = get_total_norm([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        finite = norm.isfinite() & self.allowed
        optimiser.grad_scale = ((norm + 1e-6) / self.preset.clip_norm).clamp_min(1.0)
        optimiser.found_inf = (~finite).float()
        optimiser.step()
        self.state.update_average(self.pace * finite)

        self.sum.add_(torch.where(finite, log_likelihood.detach(), 0.0))
        self.skipped.add_(~finite)
        over = self.skipped_in_a_row >= self.limit  # the count stays until it is reported
        self.skipped_in_a_row.add_(1).masked_fill_(finite & ~over, 0)

    def prepare(self, graph: bool, say: Callable[[str], None]) -> None:
        """Record the step as asked. A failure is told by ``say``, and steps go without it."""
        if graph and self.state.flow.device.type == "cuda":
            try:
                self.run = self._recorded()
            except Exception as error:
                self.run = self.compute
                say(f"the step was not recorded as a CUDA graph: {_first_line(error)}")

    def _rehearse(self, times: int) -> None:
        """Do steps that change nothing, so that kernels are loaded."""
        self.allowed.fill_(False)
        try:
            for _ in range(times):
                self.compute()
        finally:
            self.allowed.fill_(True)

    def _recorded(self) -> Callable[[], None]:
        """The step as a CUDA graph."""
        if self.ranks.count > 1:
            raise TrainerError("several ranks exchange their gradients in every step")
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._rehearse(_WARM_UPS)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.compute()
        return graph.replay


def skipped_at_most(steps: int) -> int:
    """Consecutive steps without a finite gradient that end a run: 20, or all of a shorter epoch."""
    return min(steps, 20)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
