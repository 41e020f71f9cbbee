"""What can be wrong with a store or a published version. Messages name models and fields, never paths."""


class StoreError(Exception):
    """The base of every error that this package raises on purpose."""


class UnknownModel(StoreError):
    """The store has no such model, version, alias or file."""


class FailedSelfTest(StoreError):
    """A flow that was to be published does not give its own answers again once it is read back."""


class ModelRefused(StoreError):
    """A model is in the store and must not be served: one of its versions failed a check, or none can be read.

    ``version`` is None when the directory of the whole model cannot be read.
    """

    def __init__(self, name: str, version: int | None, reason: str) -> None:
        super().__init__(f"{name if version is None else f'{name}@{version}'} is refused: {reason}")
        self.name, self.version, self.reason = name, version, reason
