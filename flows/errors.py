"""What can go wrong in a flow, as types: a caller can tell bad input from a bug."""


class FlowError(ValueError):
    """The base of every error that this package raises on purpose."""


class ShapeMismatch(FlowError):
    """A tensor does not have the shape that the transform or the flow works on."""


class InputOutsideDomain(FlowError):
    """A value lies where the transform has no inverse or the density is zero (a pixel of 1.5, a NaN)."""


class ArchitectureError(FlowError):
    """An architecture's name is not on the allow-list, or its arguments are out of range."""
