"""Normalizing flows in pure PyTorch: transforms that know their log-determinants, priors, and flows made of them."""

from flows.architectures import ARCHITECTURES, build
from flows.coupling import AdditiveCoupling, Coupling, EvenOdd
from flows.errors import ArchitectureError, FlowError, InputOutsideDomain, ShapeMismatch
from flows.flow import Flow, bits_per_dim
from flows.nets import MLP
from flows.nice import nice
from flows.preprocessing import Centre, Dequantise, Flatten
from flows.priors import Prior, StandardLogistic, StandardNormal
from flows.scaling import DiagonalScaling
from flows.transform import Compose, Transform
from flows.whitening import Standardise, Whitening

__all__ = [
    "ARCHITECTURES",
    "MLP",
    "AdditiveCoupling",
    "ArchitectureError",
    "Centre",
    "Compose",
    "Coupling",
    "Dequantise",
    "DiagonalScaling",
    "EvenOdd",
    "Flatten",
    "Flow",
    "FlowError",
    "InputOutsideDomain",
    "Prior",
    "ShapeMismatch",
    "StandardLogistic",
    "StandardNormal",
    "Standardise",
    "Transform",
    "Whitening",
    "bits_per_dim",
    "build",
    "nice",
]
