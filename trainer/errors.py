"""The errors of the trainer. Their messages are meant for the user."""


class TrainerError(Exception):
    """The base of every error that this package raises on purpose."""


class DataError(TrainerError):
    """A file of a data set is missing, damaged or not what it claims to be; the message names the file."""


class MissingData(DataError):
    """A file is missing, and cannot be downloaded."""


class RunStateError(TrainerError):
    """The state in a run directory is damaged, or belongs to another experiment."""


class Diverged(TrainerError):
    """Many steps in a row, or a validation, were not finite. Going on would not mend the weights."""


def missing_extra(purpose: str, package: str, extra: str) -> TrainerError:
    """The error of an optional package that is not installed."""
    return TrainerError(f"{purpose}, {package} is needed: pip install 'sluice[{extra}]'")
