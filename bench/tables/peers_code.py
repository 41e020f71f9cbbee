"""Which code the figures of the peers are of. Needs nothing beyond Python: the peers' own environment uses it."""

from __future__ import annotations

from bench.code_hash import code_hash

MEASURED = (
    "bench/tables/peers.py",
    "bench/tables/real_tables.py",
    "bench/tables/requirements.txt",
    "bench/tables/splits.py",
)
"""The code that the peers' figures depend on, and the packages that they and the tables come from."""
BEFORE = "9c99a423300e0735"
"""The hash that a line without one counts as having.

It is that of the code which first wrote hashes, and measures as the code before it did: lines from then are not thrown
away. It stays as it is when that code changes, so that these lines are then measured anew like all others.
"""


def present() -> str:
    """The hash of the present code."""
    return code_hash(MEASURED)
