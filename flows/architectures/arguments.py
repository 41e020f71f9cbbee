"""Declarations of what an architecture's arguments may be: a manifest comes from outside and is checked by these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.errors import ArchitectureError

# No flow comes near these limits. A manifest beyond them is damaged or hostile and must not keep the builder busy.
MOST_LAYERS = 1_000
WIDEST = 100_000
MOST_NESTED_LAYERS = 20_000


class Argument(ABC):
    """The kind, the range and the default of one argument. The default is that of the builder's signature."""

    default: Any
    shapes: bool = True
    """Whether weights of a flow of one value do not fit a flow of another."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What the value must be, in words that follow "must be"."""

    @abstractmethod
    def allows(self, value: object) -> bool:
        """Whether a value has the right kind and is in range."""

    def check(self, name: str, value: object) -> None:
        """Raises ArchitectureError, naming the argument, unless the value is allowed."""
        if not self.allows(value):
            raise ArchitectureError(f"{name} must be {self.expected}, got {value!r}")

    def layers(self, value: Any) -> int:  # noqa: ARG002
        """The factor of an allowed value in the number of nested layers."""
        return 1


@dataclass(frozen=True)
class Flag(Argument):
    """True or false."""

    default: bool
    shapes: bool = True
    expected = "true or false"

    def allows(self, value: object) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Count(Argument):
    """An integer from 1 to ``most``."""

    default: int
    most: int = MOST_LAYERS
    nests: bool = True
    """Whether the value multiplies the number of layers."""

    @property
    def expected(self) -> str:
        return f"an integer from 1 to {self.most}"

    def allows(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= self.most

    def layers(self, value: int) -> int:
        return value if self.nests else 1


@dataclass(frozen=True)
class Widths(Argument):
    """A list of integers from 1 to ``widest``, one for each layer."""

    default: tuple[int, ...]
    widest: int = WIDEST

    @property
    def expected(self) -> str:
        return f"a list of integers from 1 to {self.widest}"

    def allows(self, value: object) -> bool:
        width = Count(1, self.widest)
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and 0 < len(value) <= MOST_LAYERS
            and all(width.allows(each) for each in value)
        )

    def layers(self, value: Sequence[int]) -> int:
        return len(value)


@dataclass(frozen=True)
class Fraction(Argument):
    """A number between 0 and ``below``, both excluded."""

    default: float
    below: float

    @property
    def expected(self) -> str:
        return f"a number between 0 and {self.below}"

    def allows(self, value: object) -> bool:
        return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < self.below


@dataclass(frozen=True)
class Numbers(Argument):
    """A list of finite numbers that are not negative, one for each column of a table; whole ones where ``whole``."""

    default: tuple[float, ...] = ()
    whole: bool = False

    @property
    def expected(self) -> str:
        return f"a list of finite {'integers' if self.whole else 'numbers'} from 0 on, one for each column"

    def allows(self, value: object) -> bool:
        kinds = int if self.whole else (int, float)
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and len(value) <= WIDEST
            and all(isinstance(each, kinds) and not isinstance(each, bool) and 0 <= each < 1e30 for each in value)
        )


@dataclass(frozen=True)
class Choice(Argument):
    """One of the names in ``choices``."""

    default: str
    choices: Mapping[str, object]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def allows(self, value: object) -> bool:
        return isinstance(value, str) and value in self.choices
