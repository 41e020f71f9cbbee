"""The errors of this package: by their type a caller can tell bad input from a bug."""


class FlowError(ValueError):
    """The base class of all errors that this package raises on purpose.

    >>> issubclass(flows.ShapeMismatch, flows.FlowError), issubclass(flows.FlowError, ValueError)
    (True, True)
    """


class ShapeMismatch(FlowError):
    """A tensor does not have the shape that a transform or a flow works on.

    >>> flows.Flatten((2, 3))(torch.zeros(1, 5))
    Traceback (most recent call last):
    ...
    flows.errors.ShapeMismatch: expected items of shape (2, 3), got (5,)
    """


class InputOutsideDomain(FlowError):
    """A value lies where the transform has no inverse or the density is zero: a pixel of 1.5, for example, or NaN.

    >>> flows.nice((2, 2), hidden=[4]).to_continuous(torch.full((1, 2, 2), 1.5))
    Traceback (most recent call last):
    ...
    flows.errors.InputOutsideDomain: pixels given as floats must lie in [0, 1]
    """


class ArchitectureError(FlowError):
    """The name of an architecture is not on the allow-list, or an argument is unknown, or of the wrong type or range.

    >>> flows.build("exec", (2,), {})
    Traceback (most recent call last):
    ...
    flows.errors.ArchitectureError: unknown architecture 'exec'; known: glow, lattice, nice, realnvp, spline, table
    """
