"""Where samples of a lattice flow lose likelihood: bits per dimension by level, with levels drawn from one on.

    python -m bench.draws_by_level --data-dir DIR [--model mnist] [--version N] [--items 150] [--stepped]

Each row takes test items, draws all levels from one on anew, given the true pixels of the levels before, and scores the
result; a second sum is of the same items rounded to grey levels, with new noise. ``--stepped`` takes the model's
weights for a flow that is flat within grey levels, as it was not trained. Prints Markdown.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

import flows
import model_store
from flows import Flow, LatticeLevel
from flows.architectures.lattice_flow import LatticeFlow
from flows.transforms.lattice_cells import Cells
from trainer.data import CIFAR10, FASHION_MNIST, MNIST

DATA = {data.name: data for data in (MNIST, FASHION_MNIST, CIFAR10)}


def masks_of(flow: LatticeFlow) -> list[Tensor]:
    """The entries (*item_shape) of each level, the coarsest level first."""
    (cells,) = (step for step in flow.modules() if isinstance(step, Cells))
    levels = [step for step in flow.modules() if isinstance(step, LatticeLevel)]
    found = []
    for level in reversed(levels):
        mask = torch.zeros(1, *cells.shape)
        level.groups.put(mask, torch.ones(len(level.groups), *cells.shape[1:]))
        found.append(cells.put_back(mask)[0] > 0)
    return found


def bits_by_level(flow: Flow, x: Tensor, masks: list[Tensor]) -> list[float]:
    """The part of each level in the mean bits per dimension of points x (B, *item_shape)."""
    z, _, log_slopes = flow.encode_locally(x)
    nats = (flow.in_item_layout(flow.prior.log_density(z)) + log_slopes) / math.log(2) / flow.dimensions
    return [8 * int(mask.sum()) / flow.dimensions - float((nats * mask).sum()) / len(x) for mask in masks]


def stepped(model: model_store.LoadedModel) -> LatticeFlow:
    """The flow of a model's weights that is flat within grey levels."""
    made = model.manifest.architecture
    flow = flows.build(made.name, model.flow.item_shape, {**made.arguments, "stepped": True})
    flow.load_state_dict(model.flow.state_dict())
    assert isinstance(flow, LatticeFlow)
    return flow.eval()


def drawn_from(flow: LatticeFlow, x: Tensor, masks: list[Tensor], first: int, seed: int) -> Tensor:
    """Points x (B, *item_shape) with all levels from ``first`` on drawn anew."""
    chosen = torch.stack([torch.zeros_like(masks[0]), *masks[first:]]).any(dim=0).expand(x.shape)
    uniform = torch.rand(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return flow.redraw(x, chosen, uniform)[0]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=model_store.default_root())
    parser.add_argument("--model", choices=DATA, default="mnist")
    parser.add_argument("--version", type=int, help="the model's version, instead of the latest")
    parser.add_argument("--items", type=int, default=150)
    parser.add_argument("--stepped", action="store_true", help="with densities that are flat within grey levels")
    options = parser.parse_args()
    store = model_store.Store(options.store)
    version = options.version or max(store.versions(options.model))
    model = store.load(options.model, version)
    flow = model.flow
    if not isinstance(flow, LatticeFlow):
        raise SystemExit(f"{options.model}@{version} is no lattice flow")
    if options.stepped:
        flow = stepped(model)
    _, test = DATA[options.model].read(options.data_dir)
    x, masks = flow.to_continuous(test[: options.items]), masks_of(flow)

    print(f"| levels drawn | {' | '.join(map(str, range(len(masks))))} | sum | sum when rounded |")
    print(f"|---|{'---:|' * (len(masks) + 2)}")
    for first in reversed(range(len(masks) + 1)):
        points = drawn_from(flow, x, masks, first, seed=0)
        rounded = bits_by_level(flow, flow.to_continuous(flow.to_items(points)), masks)
        bits = bits_by_level(flow, points, masks)
        name = f"from {first} on" if first < len(masks) else "none"
        print(f"| {name} | {' | '.join(f'{b:.4f}' for b in bits)} | {sum(bits):.4f} | {sum(rounded):.4f} |", flush=True)


if __name__ == "__main__":
    main()
