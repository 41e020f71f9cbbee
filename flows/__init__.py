"""Normalizing flows in pure PyTorch: transforms that know their log-determinants, priors, and flows made of them."""

from flows.architectures import ARCHITECTURES, build
from flows.convolution import InvertibleConvolution
from flows.coupling import AdditiveCoupling, AffineCoupling, Coupling, EvenOdd, Split
from flows.errors import ArchitectureError, FlowError, InputOutsideDomain, ShapeMismatch
from flows.flow import Flow, bits_per_dim
from flows.glow import glow
from flows.images import Checkerboard, Halves, MultiScale, Planes, Squeeze
from flows.lattice import LatticeLevel, lattice
from flows.mixture import UnitMixture
from flows.nets import MLP, ConvNet, ResidualNet
from flows.nice import nice
from flows.preprocessing import Centre, Dequantise, Flatten, Logit
from flows.priors import Prior, StandardLogistic, StandardNormal
from flows.realnvp import realnvp
from flows.scaling import ActNorm, DiagonalScaling
from flows.spline import SplineCoupling, spline
from flows.transform import Compose, Transform
from flows.whitening import Standardise, Whitening

__all__ = [
    "ARCHITECTURES",
    "MLP",
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "ArchitectureError",
    "Centre",
    "Checkerboard",
    "Compose",
    "ConvNet",
    "Coupling",
    "Dequantise",
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
    "StandardLogistic",
    "StandardNormal",
    "Standardise",
    "Transform",
    "UnitMixture",
    "Whitening",
    "bits_per_dim",
    "build",
    "glow",
    "lattice",
    "nice",
    "realnvp",
    "spline",
]
