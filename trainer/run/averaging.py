"""The mean of the weights that a run started from and of those that it reached."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainer.run.likelihoods import log_likelihoods
from trainer.run.ranks import Ranks
from trainer.run.start import Start
from trainer.run.state import TrainingState


@torch.no_grad()
def average_with_start(
    state: TrainingState, start: Start, validation: Tensor, ranks: Ranks, say: Callable[[str], None]
) -> float | None:
    """Give the flow the mean of the start's weights and the last ones, if ``validation`` (N, *S) finds it the best.

    Its mean log-likelihood is returned then, else None. Both lie where a falling rate ended, on different sides of one
    basin, and their mean is often better than either (Izmailov, Podoprikhin, Garipov, Vetrov & Wilson 2018, "Averaging
    weights leads to wider optima and better generalization", arXiv:1803.05407).
    """
    best = state.progress.best
    last = state.evaluated.state_dict()
    mean = {
        name: torch.lerp(tensor, start.weights[name].to(tensor), 0.5) if tensor.is_floating_point() else tensor
        for name, tensor in last.items()
    }
    state.flow.load_state_dict(mean)
    scores = log_likelihoods(state.flow, ranks.share(validation).to(state.flow.device))
    found = float(ranks.sum(scores.sum()).item() / len(validation))
    better = best is not None and found > best.validation  # false for NaN
    say(
        f"the mean of the last weights and those of {start.reference}: validation {found:.4f} nats, "
        + ("the best, so it is kept" if better else "not the best")
    )
    return found if better else None
