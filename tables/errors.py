"""The errors of this package. Messages name the file, and the column and the row where there is one."""


class TableError(ValueError):
    """A table that cannot be used as it is."""


class MissingExtra(TableError):
    """A package is needed that is not installed, because few need it."""


def missing_extra(purpose: str, package: str, extra: str) -> MissingExtra:
    """The error of a package that is not installed."""
    return MissingExtra(f"{purpose}, {package} is needed: pip install 'sluice[{extra}]'")
