"""What can go wrong on the way from data to a published flow, as types with a message meant for the user."""


class TrainerError(Exception):
    """The base of every error that this package raises on purpose."""


class DataError(TrainerError):
    """A file of a data set is missing, damaged or not what it claims to be; the message names the file."""


class MissingData(DataError):
    """A file is not there, and cannot be had from where it is published."""


class RunStateError(TrainerError):
    """A run directory holds a state that is damaged or that belongs to another experiment."""


class Diverged(TrainerError):
    """Many steps in a row, or a validation, were not finite: the weights are lost, and going on cannot mend them."""


def missing_extra(purpose: str, package: str, extra: str) -> TrainerError:
    """The error of a package that is not installed because few need it."""
    return TrainerError(f"{purpose}, {package} is needed: pip install 'sluice[{extra}]'")
