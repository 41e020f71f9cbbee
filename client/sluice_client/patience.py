"""How long a call may take, and when a request is sent again."""

from __future__ import annotations

import math
import random
import time
from typing import Any

from sluice_client.calls import Answer, Call, retry_after
from sluice_client.errors import DeadlinePassed

_NOT_DONE = (429, 503)
"""Statuses that say: not carried out, and perhaps later."""
_SPREAD = 0.1
"""Share of a pause that is added at random, so that many clients do not all come back at once."""
_LEAST_PAUSE = 0.1
"""Seconds before a request is sent again where the service asks for none: pauses are what bounds the attempts."""
_BROKEN_PAUSE = 0.5
"""Seconds before a repeatable request is sent again after its connection broke."""
_GRACE = 5.0
"""Seconds that the service's own 504 may be late before the client stops waiting for it."""
_SILENCE = 300.0
"""Seconds without a byte after which a call without a timeout is given up."""
LARGEST_MS = 86_400_000
"""The longest deadline that the service takes."""


class Patience:
    """The time that one operation has, for all of its requests together.

    ``timeout`` bounds the whole in seconds; None and infinity leave each request to the service's own limit.
    ``retry_for`` bounds the pauses: a request is sent again as long as they sum up to no more seconds than this.
    """

    def __init__(self, timeout: float | None, retry_for: float) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, not {timeout}")
        self.timeout = None if timeout == math.inf else timeout
        self._ends = None if self.timeout is None else time.monotonic() + self.timeout
        self._left = retry_for

    def headers(self) -> dict[str, str]:
        """The deadline of a request that is sent now. Raises DeadlinePassed."""
        remaining = self.remaining()
        if remaining is None:
            return {}
        return {"X-Deadline-Ms": str(min(max(round(remaining * 1000), 1), LARGEST_MS))}

    def remaining(self) -> float | None:
        """Seconds that are left; None without a timeout. Raises DeadlinePassed."""
        if self._ends is None:
            return None
        left = self._ends - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def silence(self) -> float:
        """Seconds without a byte after which a request is given up."""
        left = self.remaining()
        return _SILENCE if left is None else left + _GRACE

    def passed(self) -> DeadlinePassed:
        """The error of a call that had no more time."""
        return DeadlinePassed(f"no answer within {self.timeout or _SILENCE:g} s")

    def pause_after(self, answer: Answer) -> float | None:
        """Seconds to wait before the same request is sent again; None where the answer stands."""
        if answer.status not in _NOT_DONE:
            return None
        wait = retry_after(answer.headers)
        return None if wait is None else self._spend(max(wait, _LEAST_PAUSE))

    def pause_after_breaking(self, call: Call[Any]) -> float | None:
        """The same where the connection broke and nobody knows whether the request was carried out."""
        return self._spend(_BROKEN_PAUSE) if call.repeatable else None

    def _spend(self, seconds: float) -> float | None:
        seconds *= 1 + _SPREAD * random.random()  # noqa: S311
        late = self._ends is not None and time.monotonic() + seconds >= self._ends
        if late or seconds > self._left:
            return None
        self._left -= seconds
        return seconds
