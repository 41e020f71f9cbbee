"""Normalizing flows in pure PyTorch: transforms that know their log-determinants, priors, and flows made of them."""

from flows.architectures import ARCHITECTURES, build
from flows.architectures.glow import glow
from flows.architectures.lattice import lattice
from flows.architectures.nice import nice
from flows.architectures.realnvp import realnvp
from flows.architectures.spline import spline
from flows.architectures.table import table
from flows.completion import Completion
from flows.errors import ArchitectureError, FlowError, InputOutsideDomain, ShapeMismatch
from flows.flow import Flow, bits_per_dim
from flows.nets import MLP, ConvNet, ResidualNet
from flows.priors import Prior, StandardLogistic, StandardNormal
from flows.stacked import StackedFlows
from flows.transforms.columns import DequantiseColumns
from flows.transforms.convolution import InvertibleConvolution
from flows.transforms.coupling import AdditiveCoupling, AffineCoupling, Coupling, EvenOdd, Split
from flows.transforms.images import Checkerboard, Halves, MultiScale, Planes, Squeeze
from flows.transforms.lattice_level import LatticeLevel
from flows.transforms.mixture import UnitMixture
from flows.transforms.preprocessing import Centre, Dequantise, Flatten, Logit, Unflatten
from flows.transforms.scaling import ActNorm, DiagonalScaling
from flows.transforms.spline_coupling import SplineCoupling
from flows.transforms.stepped_mixture import SteppedMixture
from flows.transforms.transform import Compose, Transform
from flows.transforms.whitening import Standardise, Whitening

__all__ = [
    "ARCHITECTURES",
    "MLP",
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "ArchitectureError",
    "Centre",
    "Checkerboard",
    "Completion",
    "Compose",
    "ConvNet",
    "Coupling",
    "Dequantise",
    "DequantiseColumns",
    "DiagonalScaling",
    "EvenOdd",
    "Flatten",
    "Flow",
    "FlowError",
    "Halves",
    "InputOutsideDomain",
    "InvertibleConvolution",
    "LatticeLevel",
    "Logit",
    "MultiScale",
    "Planes",
    "Prior",
    "ResidualNet",
    "ShapeMismatch",
    "SplineCoupling",
    "Split",
    "Squeeze",
    "StackedFlows",
    "StandardLogistic",
    "StandardNormal",
    "Standardise",
    "SteppedMixture",
    "Transform",
    "Unflatten",
    "UnitMixture",
    "Whitening",
    "bits_per_dim",
    "build",
    "glow",
    "lattice",
    "nice",
    "realnvp",
    "spline",
    "table",
]
