"""Training several flows of one recipe at once, each on rows of its own: the flows of the folds of a small table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flows import Flow, StackedFlows
from trainer.data import Splits
from trainer.errors import Diverged
from trainer.optimisers import ema_decay, learning_rate
from trainer.optimisers.adam import FusedAdamW
from trainer.optimisers.groups import BETAS, SCALING_BOOST
from trainer.presets import Preset
from trainer.run.jitter import Jitter
from trainer.run.randomness import batch_order, dequantise, noise_keys


def can_stack(preset: Preset, flow: Flow) -> bool:
    """Whether flows of this preset can be trained by ``train_stacked``: none keeps an epoch of its own."""
    fixed = not preset.keep_best and preset.patience is None and preset.minutes is None
    plain = not preset.muon_rate and not preset.flip and preset.precision == "float32" and not flow.is_image
    return fixed and plain and StackedFlows.possible(flow)


def train_stacked(flows: Sequence[Flow], splits: Sequence[Splits], preset: Preset, seeds: Sequence[int]) -> None:
    """Train each flow on the training rows of its splits, as ``train`` would with its seed, but for rounding.

    Each flow has its own rows, order, noise, gradient norm and average of weights: nothing passes from one to another.
    The flows hold their averages afterwards. All take the number of steps that suits the fewest rows. Raises Diverged
    when the gradients of a flow are not finite for 20 steps in a row, or its average is not finite at the end.
    """
    stacked, device = StackedFlows(flows), flows[0].device
    batches = [_Batches(*each, preset) for each in zip(flows, splits, seeds, strict=True)]
    steps = min(preset.steps_of(len(each.splits.train)) for each in batches)
    optimiser = FusedAdamW(_groups(stacked, preset), betas=BETAS, fused=True)
    averages = {name: weights.detach().clone() for name, weights in stacked.weights.items()}
    in_a_row = torch.zeros(len(flows), device=device)
    for epoch in range(preset.epochs):
        rows = torch.stack([each.of_epoch(epoch, steps) for each in batches], dim=1)  # (steps, K, B, D)
        for step in range(steps):
            number = epoch * steps + step
            loss = -stacked(rows[step]).mean(dim=1).sum() / flows[0].dimensions
            torch.autograd.backward(loss)
            stacked.gather_gradients()
            in_a_row = (in_a_row + 1) * ~_clipped(stacked, preset.clip_norm)
            optimiser.set_rate(learning_rate(preset, number, number / (preset.epochs * steps)))
            optimiser.step()
            share = 1 - ema_decay(preset, number)
            for name, weights in stacked.weights.items():
                averages[name].lerp_(weights.detach(), share)
        if bool((in_a_row >= min(20, steps)).any()):
            raise Diverged(f"a flow of a fold had no finite gradient for {int(in_a_row.max())} steps in a row")
    with torch.no_grad():
        for name, weights in stacked.weights.items():
            weights.copy_(averages[name] if preset.ema_decay else weights)
            if not bool(weights.isfinite().all()):
                raise Diverged("the weights of a flow of a fold are not finite")
    stacked.write_back()


@dataclass
class _Batches:
    """The batches of one flow."""

    flow: Flow
    splits: Splits
    seed: int
    preset: Preset

    def __post_init__(self) -> None:
        self.items = self.splits.train.to(self.flow.device)
        self.jitter = Jitter.of(self.flow, self.items, self.preset)

    @torch.no_grad()
    def of_epoch(self, epoch: int, steps: int) -> Tensor:
        """Continuous points (steps, B, D) of the batches of an epoch, with their noise."""
        batch = self.preset.batch_size
        order = batch_order(self.seed, epoch, self.preset.passes * len(self.items))[: steps * batch] % len(self.items)
        numbers = torch.arange(steps, device=self.flow.device)[:, None]
        keys = noise_keys(self.seed, epoch, numbers, batch, self.flow.device).flatten()
        x = dequantise(self.flow, self.items[order.to(self.flow.device)], keys)
        x = x if self.jitter is None else self.jitter(x, keys)
        return x.reshape(steps, batch, -1)


def _groups(stacked: StackedFlows, preset: Preset) -> list[dict[str, object]]:
    """As ``parameter_groups`` for one flow."""
    boosts = {"scales": SCALING_BOOST}
    decays = {"matrices": preset.weight_decay}
    return [
        {"params": [weights], "boost": boosts.get(name, 1.0), "weight_decay": decays.get(name, 0.0)}
        for name, weights in stacked.weights.items()
    ]


def _clipped(stacked: StackedFlows, most: float) -> Tensor:
    """Scale each flow's gradient to a norm of at most ``most``. One that is not finite becomes 0. Which were finite."""
    gradients = [weights.grad for weights in stacked.weights.values() if weights.grad is not None]
    norms = torch.stack([gradient.square().sum(dim=1) for gradient in gradients]).sum(dim=0).sqrt()
    finite = norms.isfinite()
    factors = torch.where(finite, 1 / ((norms + 1e-6) / most).clamp_min(1.0), 0.0)
    for gradient in gradients:
        gradient.mul_(factors[:, None])
        if not bool(finite.all()):
            gradient.nan_to_num_(0.0, 0.0, 0.0)
    return finite
