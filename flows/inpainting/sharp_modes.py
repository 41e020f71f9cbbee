"""The capability of a flow whose modes are too sharp for plain gradient ascent."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class SharpModes(ABC):
    """A flow whose density is flat within a grey level and falls steeply at the level's edges.

    Ascent of such a density stops at the mode next to its initial point, and a gradient says nothing about a draw. A
    flow that inherits from this class offers two other ways: a smoothed log-likelihood, whose gradient points to modes
    from far away, and exact draws of single entries. The inpainting methods ask ``isinstance(flow, SharpModes)``.

    >>> isinstance(flows.lattice((8, 8), width=4, blocks=1), flows.inpainting.SharpModes)
    True
    >>> isinstance(flows.nice((8, 8), hidden=[4]), flows.inpainting.SharpModes)
    False
    """

    @abstractmethod
    def smoothed_log_prob(self, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, *item_shape), width (B,) in data units -> log_prob (B,) and smoothed log-likelihood (B,), in nats.

        Smoothing makes every mode at least ``width`` wide. The smoothed value is not a normalised density. Only the
        smoothed value carries a gradient.
        """

    @abstractmethod
    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the chosen entries of x anew, each from its density given the entries before it in the flow's order.

        x (B, *item_shape), chosen (B, *item_shape) bool, uniform (B, *item_shape) float64 draws in (0, 1), one for
        each entry -> the new x (B, *item_shape), and the log-density (B, *item_shape) of every entry, chosen or not,
        given the entries before it. The log-densities of an item sum to its log-likelihood.
        """
