"""What a lattice flow's net sees of a pixel, and that groups which go through it together are told apart."""

from __future__ import annotations

import pytest
import torch

from flows.nets.lattice_net import CellNet, PixelCode


def code(levels: torch.Tensor) -> torch.Tensor:
    """Of pixels at these levels (N,), in units of one: (E, N)."""
    torch.manual_seed(0)
    return PixelCode(5).double()((levels.double() / 256).reshape(1, 1, 1, -1))[0, :, 0].detach()


def test_a_code_has_its_numbers_for_each_colour_where_the_pixel_is() -> None:
    torch.manual_seed(0)
    coder, x = PixelCode(5), torch.rand(2, 3, 4, 8)
    found = coder(x)
    assert found.shape == (2, 15, 4, 8)
    alone = coder(x[:, 1:2])
    assert torch.equal(found[:, 5:10], alone)


@pytest.mark.parametrize("level", [0, 255])
def test_noise_on_black_and_white_hardly_comes_through(level: int) -> None:
    inside = code(level + torch.linspace(0.01, 0.99, 50))
    assert (inside.amax(dim=1) - inside.amin(dim=1)).max() < 0.02


def test_black_is_far_from_nearly_black() -> None:
    black, nearly, next_to_it = code(torch.tensor([0.5, 1.5, 2.5])).T
    assert (nearly - black).norm() > 0.2
    assert 1e-3 < (next_to_it - nearly).norm() < (nearly - black).norm()


def test_a_gradient_leads_from_level_to_level() -> None:
    torch.manual_seed(0)
    x = torch.linspace(0.02, 0.98, 30).reshape(1, 1, 1, 30).requires_grad_()
    (gradient,) = torch.autograd.grad(PixelCode(5)(x).square().sum(), x)
    assert bool((gradient != 0).all())


def test_a_net_starts_with_its_answer_for_every_group() -> None:
    answer = torch.tensor([1.0, -2.0, 3.0])
    found = CellNet(4, 3, (2, 2), 8, 1, answer)(torch.randn(3 * 5, 4, 2, 2))
    torch.testing.assert_close(found, answer.reshape(1, 3, 1, 1).expand(15, 3, 2, 2))


def test_a_group_gets_the_same_alone_as_among_others() -> None:
    torch.manual_seed(0)
    net = CellNet(4, 3, (2, 2), 8, 1, torch.zeros(6)).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(3 * 5, 4, 2, 2, dtype=torch.float64)
    together = net(x)
    for group in range(3):
        rows = slice(5 * group, 5 * group + 5)
        torch.testing.assert_close(net(x[rows], slice(group, group + 1)), together[rows])
    assert not torch.allclose(net(x[:5], slice(0, 1)), net(x[:5], slice(1, 2)))
