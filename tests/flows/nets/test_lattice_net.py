"""The code of a pixel, and the net of a lattice level: it tells groups in one batch apart."""

from __future__ import annotations

import pytest
import torch

from flows.nets.lattice_net import CellNet, PixelCode


def code(levels: torch.Tensor) -> torch.Tensor:
    """The codes (E, N) of pixels at these grey levels (N,)."""
    torch.manual_seed(0)
    found: torch.Tensor = PixelCode(5).double()((levels.double() / 256).reshape(1, 1, 1, -1))
    return found[0, :, 0].detach()


def test_each_colour_of_a_pixel_has_its_own_code() -> None:
    torch.manual_seed(0)
    coder, x = PixelCode(5), torch.rand(2, 3, 4, 8)
    found = coder(x)
    assert found.shape == (2, 15, 4, 8)
    alone = coder(x[:, 1:2])
    assert torch.equal(found[:, 5:10], alone)


@pytest.mark.parametrize("level", [0, 255])
def test_dequantisation_noise_hardly_changes_the_code_of_black_and_white(level: int) -> None:
    inside = code(level + torch.linspace(0.01, 0.99, 50))
    assert (inside.amax(dim=1) - inside.amin(dim=1)).max() < 0.02


def test_black_is_far_from_nearly_black() -> None:
    black, nearly, next_to_it = code(torch.tensor([0.5, 1.5, 2.5])).T
    assert (nearly - black).norm() > 0.2
    assert 1e-3 < (next_to_it - nearly).norm() < (nearly - black).norm()


def test_the_code_has_a_gradient_between_levels() -> None:
    torch.manual_seed(0)
    x = torch.linspace(0.02, 0.98, 30).reshape(1, 1, 1, 30).requires_grad_()
    (gradient,) = torch.autograd.grad(PixelCode(5)(x).square().sum(), x)
    assert bool((gradient != 0).all())


def test_a_net_starts_with_its_given_bias_for_every_group() -> None:
    start = torch.tensor([1.0, -2.0, 3.0])
    found = CellNet(4, 3, (2, 2), 8, 1, start)(torch.randn(3 * 5, 4, 2, 2))
    torch.testing.assert_close(found, start.reshape(1, 3, 1, 1).expand(15, 3, 2, 2))


def test_a_group_gets_the_same_output_alone_and_with_others() -> None:
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
