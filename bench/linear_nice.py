"""What the linear part of NICE reaches alone on CIFAR-10: whitening and a diagonal scaling, without couplings.

    python -m bench.linear_nice --data-dir DIR [--limit N]

For each kind of whitening: mean log-likelihoods of training, validation and test items, in nats per item over pixels
scaled to [0, 1], with scales of unit variance and with those that are likeliest for the training items. The whitening
is fitted as by ``sluice-train cifar10-nice``: to all training items and their mirror images. Then two figures tell what
couplings could learn by their first step: see ``first_order``. Prints Markdown. Takes minutes of a core and 4 GB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import flows
from trainer import data
from trainer.data import CIFAR10

_BATCH = 5000
_STEPS = 30
_MEASURED = 10_000
"""Training items on which scales are fitted and likelihoods are measured."""


def linear_flow(kind: str, dimensions: tuple[int, ...], items: Tensor) -> flows.Flow:
    """Whitening of a kind and scales of unit variance, fitted to items and their mirror images."""
    flat = flows.Flatten(dimensions)
    size = items[0].numel()
    prior = flows.StandardLogistic((size,))
    steps = [flat, flows.Whitening(size, robust=kind == "robust"), flows.DiagonalScaling(size, target_std=prior.std)]
    flow = flows.Flow(dimensions, steps, prior, flows.Dequantise())
    both = torch.cat([items, items.flip(2)])
    flow.initialise(torch.cat([flow.to_continuous(part) for part in torch.split(both, _BATCH)]))
    return flow


def fit_scales(flow: flows.Flow, z: Tensor) -> None:
    """Set the scales to those under which latents z (N, D) of the flow as it is are likeliest, by Newton's method."""
    change = torch.zeros(z.shape[1])
    for _ in range(_STEPS):
        scaled = z * change.exp()
        slope = (scaled / 2).tanh()
        curvature = scaled * slope + scaled.square() / 2 * (1 - slope.square())
        change += ((1 - (scaled * slope).mean(dim=0)) / curvature.mean(dim=0)).clamp(-0.5, 0.5)
    (scaling,) = (step for step in flow.modules() if isinstance(step, flows.DiagonalScaling))
    scaling.log_scale.add_(change)


def first_order(one: Tensor, other: Tensor) -> float:
    """The gain in nats that the gradient of shears, seen on latents ``one`` (N, D), promises for latents ``other``.

    A shear moves an entry by a multiple of another, which is what small couplings do first. A Newton step has the gain
    G^2 / 2H on the items that G was measured on. With G of other items in the second place, noise cancels on average.
    """
    curvature = (1 - (one / 2).tanh().square()).mean(dim=0) / 2
    gradients = [(latents / 2).tanh().T @ latents / len(latents) for latents in (one, other)]
    for gradient in gradients:
        gradient.fill_diagonal_(0)
    variance = one.square().mean(dim=0)
    return float((gradients[0] * gradients[1] / (2 * curvature[:, None] * variance)).sum())


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="use the first items only, for a quick try")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    splits = data.load(CIFAR10, options.data_dir, seed=0, limit=options.limit)
    parts = {"training": splits.train[:_MEASURED], "validation": splits.validation, "test": splits.test}

    print("| whitening | scales | training | validation | test |\n|---|---|---:|---:|---:|", flush=True)
    promised = []
    for kind in ("plain", "robust"):
        flow = linear_flow(kind, splits.item_shape, splits.train)
        points = {name: flow.to_continuous(items) for name, items in parts.items()}
        for scales in ("of unit variance", "likeliest for training items"):
            if scales != "of unit variance":
                fit_scales(flow, flow.encode(points["training"])[0])
            scores = [torch.cat([flow.log_prob(part) for part in torch.split(x, _BATCH)]) for x in points.values()]
            cells = [f"{part.double().mean():.1f}" for part in scores]
            cells[-1] += f" ± {scores[-1].double().std() / len(scores[-1]) ** 0.5:.1f}"
            print(f"| {kind} | {scales} | {' | '.join(cells)} |", flush=True)
        z = {name: flow.encode(x)[0] for name, x in points.items()}
        first, second = z["training"].chunk(2)
        promised.append(
            f"| {kind} | {first_order(first, second):.1f} | {first_order(z['training'], z['validation']):.1f} | "
            f"{first_order(z['validation'], z['test']):.1f} |"
        )
    print("\n| whitening | training for training | training for validation | validation for test |")
    print("|---|---:|---:|---:|\n" + "\n".join(promised))


if __name__ == "__main__":
    main()
