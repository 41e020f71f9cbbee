"""The networks inside couplings. They need no inverse: a coupling is invertible whatever its net computes."""

from flows.nets.conv import ConvNet
from flows.nets.mlp import MLP
from flows.nets.net import ACTIVATIONS, Net
from flows.nets.residual import ResidualNet

__all__ = ["ACTIVATIONS", "MLP", "ConvNet", "Net", "ResidualNet"]
