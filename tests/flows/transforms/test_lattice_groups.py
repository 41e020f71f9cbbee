"""What the groups of a lattice level sum up."""

import pytest
import torch

import flows


@pytest.mark.parametrize(("shape", "quartered"), [((32, 32, 3), 3), ((28, 28), 3), ((8, 8), 1), ((64, 64, 3), 1)])
def test_the_sum_of_an_item_has_the_same_bits_alone_and_among_others(shape: tuple[int, ...], quartered: int) -> None:
    flow = flows.lattice(shape, width=4, blocks=1, joint=True, quartered=quartered)
    levels = [step for step in flow.transforms if isinstance(step, flows.LatticeLevel)]
    torch.manual_seed(0)
    for level in levels:
        planes = torch.randn(len(level.groups), 8, *level.groups.masks.shape[1:])
        together = level.groups.total(planes.flatten(0, 1))
        for row in range(8):
            assert torch.equal(level.groups.total(planes[:, row]), together[row : row + 1])
        exact = (planes.double() * level.groups.masks.unsqueeze(1)).sum(dim=(0, 2, 3))
        assert torch.allclose(together.double(), exact, atol=1e-3)
