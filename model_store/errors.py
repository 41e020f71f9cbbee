"""What can be wrong with a store or a published version. Messages name models and fields, never paths."""


class StoreError(Exception):
    """The base of every error that this package raises on purpose."""


class UnknownModel(StoreError):
    """The store has no such model, version or alias."""


class ModelRefused(StoreError):
    """A published version failed a check and must not be served."""

    def __init__(self, name: str, version: int, reason: str) -> None:
        super().__init__(f"{name}@{version} is refused: {reason}")
        self.name, self.version, self.reason = name, version, reason
