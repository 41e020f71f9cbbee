"""What a training step of the paper's NICE costs, forward and backward, beside three other writings of the same model.

    chrt -r 1 .venv-bench/bin/python -m bench.training_step [--rounds 20] [--threads 2] [--device cpu]

All have four additive couplings of 784 entries with five layers of 1000 units and a diagonal scaling, and take the
preset's batch: Sluice's preset ``mnist-nice``; a plain module as one writes it from the paper; zuko; normflows. The
two libraries have a normal prior in place of the logistic one. A step is the mean log-likelihood of a batch and its
gradient in every parameter, without the optimiser. Steps of all candidates take turns, each round begun by another, so
that what else the machine does hits all alike; the table gives medians. With one thread of a CPU it counts the thread's
own time, which leaves out interruptions. Prints Markdown. Needs bench/requirements.txt.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import normflows
import torch
import zuko
from torch import Tensor, nn
from torch.nn import functional

import flows
from trainer.presets import PRESETS
from trainer.run.device import autocast

PRESET = PRESETS["mnist-nice"]
DIMENSIONS, COUPLINGS = 784, 4
HIDDEN = list(PRESET.arguments["hidden"])

Step = Callable[[Tensor], Tensor]


class Plain(nn.Module):
    """NICE in the fewest lines, without a flow library."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(self.net() for _ in range(COUPLINGS))
        self.log_scale = nn.Parameter(torch.zeros(DIMENSIONS))

    @staticmethod
    def net() -> nn.Sequential:
        widths = [DIMENSIONS // 2, *HIDDEN]
        layers = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(widths[-1], DIMENSIONS // 2))

    def forward(self, x: Tensor) -> Tensor:
        even, odd = x[:, 0::2], x[:, 1::2]
        for index, net in enumerate(self.nets):
            if index % 2:
                even = even + net(odd)
            else:
                odd = odd + net(even)
        z = torch.stack([even, odd], dim=2).flatten(1) * self.log_scale.exp()
        log_prior = -functional.softplus(z) - functional.softplus(-z)
        return log_prior.sum(dim=1) + self.log_scale.sum()


def zuko_nice() -> nn.Module:
    masks = [torch.arange(DIMENSIONS) % 2 == parity % 2 for parity in range(COUPLINGS)]
    additive = {"univariate": zuko.transforms.AdditiveTransform, "shapes": [()], "hidden_features": HIDDEN}
    transforms = [zuko.flows.GeneralCouplingTransform(DIMENSIONS, mask=mask, **additive) for mask in masks]
    scaling = zuko.lazy.UnconditionalTransform(
        lambda log_scale: zuko.transforms.DependentTransform(
            zuko.transforms.MonotonicAffineTransform(torch.zeros_like(log_scale), log_scale), 1
        ),
        torch.zeros(DIMENSIONS),
    )
    base = zuko.lazy.UnconditionalDistribution(
        zuko.distributions.DiagNormal, torch.zeros(DIMENSIONS), torch.ones(DIMENSIONS), buffer=True
    )
    flow = zuko.lazy.Flow([*transforms, scaling], base)
    return Adapter(flow, lambda x: flow().log_prob(x))


def normflows_nice() -> nn.Module:
    blocks = [
        normflows.flows.AffineCouplingBlock(
            normflows.nets.MLP([DIMENSIONS // 2, *HIDDEN, DIMENSIONS // 2]), scale=False, split_mode=mode
        )
        for _ in range(COUPLINGS // 2)
        for mode in ("channel", "channel_inv")
    ]
    scaling = normflows.flows.AffineConstFlow((DIMENSIONS,), shift=False)
    flow = normflows.NormalizingFlow(
        normflows.distributions.DiagGaussian(DIMENSIONS, trainable=False), [scaling, *blocks]
    )
    return Adapter(flow, flow.log_prob)


class Adapter(nn.Module):
    """Another library's flow as a module whose call is the log-likelihood."""

    def __init__(self, flow: nn.Module, log_prob: Step) -> None:
        super().__init__()
        self.flow, self.log_prob = flow, log_prob

    def forward(self, x: Tensor) -> Tensor:
        return self.log_prob(x)


def seconds_of_a_step(model: nn.Module, x: Tensor, half: bool) -> float:
    synchronise: Callable[[], object] = torch.cuda.synchronize if x.is_cuda else lambda: None
    clock = time.perf_counter if x.is_cuda or torch.get_num_threads() > 1 else time.thread_time
    model.zero_grad()
    synchronise()
    began = clock()
    with autocast(x.device, "bfloat16" if half else "float32"):
        log_likelihood = model(x).mean()
    torch.autograd.backward(-log_likelihood)
    synchronise()
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)

    models: dict[str, nn.Module] = {
        "Sluice": flows.build(PRESET.architecture, (28, 28), PRESET.arguments),
        "plain PyTorch": Plain(),
        "zuko": zuko_nice(),
        "normflows": normflows_nice(),
    }
    x = torch.rand(PRESET.batch_size, 28, 28, device=device)
    points = {name: x if name == "Sluice" else x.flatten(1) for name in models}
    taken: dict[tuple[str, bool], list[float]] = {(name, half): [] for name in models for half in (False, True)}
    counts = {name: sum(p.numel() for p in model.to(device).parameters()) for name, model in models.items()}
    assert len(set(counts.values())) == 1, f"not the same model: {counts}"
    for turn in range(options.rounds + 2):
        cases = list(taken)
        for name, half in cases[turn % len(cases) :] + cases[: turn % len(cases)]:
            step = seconds_of_a_step(models[name], points[name], half)
            if turn > 1:  # two rounds to warm up
                taken[name, half].append(step)

    middle = {case: median(seconds) for case, seconds in taken.items()}
    best = min(value for (name, half), value in middle.items() if name != "Sluice" and not half)
    print(f"{options.rounds} rounds, {options.threads} threads, batch {PRESET.batch_size}, torch {torch.__version__}\n")
    print("| | float32 ms | of the best peer's | bf16 ms | of the best peer's float32 |\n|---|---:|---:|---:|---:|")
    for name in models:
        single, halved = middle[name, False], middle[name, True]
        print(f"| {name} | {1e3 * single:.1f} | {single / best:.3f} | {1e3 * halved:.1f} | {halved / best:.3f} |")


if __name__ == "__main__":
    main()
