"""API keys: the file that holds them hashed, how one is made, and how one that a client shows is checked.

A key is ``sluice_ID_SECRET``. The file holds the id in clear, scrypt of the secret, and a checksum of 32 bits, by which
a wrong secret is refused before scrypt is computed. The secret has 256 random bits; the checksum tells 32 of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Scope = Literal["infer", "read", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = ("infer", "read", "metrics", "admin")
PREFIX = "sluice"
_SECRET_BYTES, _SALT_BYTES, _CHECK_BYTES = 32, 16, 4
_MODE = 0o600

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Count = Annotated[int, Meta(ge=1)]


class UnusableKeys(ValueError):
    """The file of keys cannot be read, or a key cannot be made as asked."""


class Key(Struct, frozen=True, forbid_unknown_fields=True):
    """A key as the file holds it. ``expires`` is the moment from which it is refused."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{12}$")]
    name: Name
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    created: datetime
    salt: str
    scrypt: str
    check: str
    expires: datetime | None = None
    concurrent: Count | None = None
    """The most requests at once."""
    item_ticks_per_minute: Count | None = None

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires

    def is_secret(self, secret: str) -> bool:
        """Whether this is the key's secret. A right one takes scrypt's time, a wrong one almost none."""
        if not hmac.compare_digest(_check(secret), self.check):
            return False
        return hmac.compare_digest(_scrypt(secret, bytes.fromhex(self.salt)), self.scrypt)


class _File(Struct, forbid_unknown_fields=True):
    """The JSON document of the file."""

    format: Literal[1] = 1
    keys: list[Key] = []


def read(path: Path) -> list[Key]:
    """The keys of a file. Raises UnusableKeys."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).keys
    except OSError as error:
        raise UnusableKeys(f"the file of keys {path} cannot be read: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnusableKeys(f"the file of keys {path} is damaged: {error}") from error


def create(
    path: Path,
    name: str,
    scopes: Sequence[Scope],
    *,
    expires: datetime | None = None,
    concurrent: int | None = None,
    item_ticks_per_minute: int | None = None,
) -> str:
    """Make a key and put it into the file, which is made where there is none. Returns what the client shows, once.

    Raises UnusableKeys where the name is taken or is none.
    """
    secret, salt = secrets.token_urlsafe(_SECRET_BYTES), secrets.token_bytes(_SALT_BYTES)
    made = Key(
        id=secrets.token_hex(6),
        name=name,
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        created=datetime.now(UTC).replace(microsecond=0),
        salt=salt.hex(),
        scrypt=_scrypt(secret, salt),
        check=_check(secret),
        expires=expires,
        concurrent=concurrent,
        item_ticks_per_minute=item_ticks_per_minute,
    )
    try:
        made = msgspec.convert(msgspec.to_builtins(made), Key)
    except msgspec.ValidationError as error:
        raise UnusableKeys(f"no such key can be made: {error}") from error
    with _changing(path) as keys:
        if any(key.name == name for key in keys):
            raise UnusableKeys(f"there is a key {name!r} already; revoke it first")
        keys.append(made)
    return f"{PREFIX}_{made.id}_{secret}"


def revoke(path: Path, name: str) -> None:
    """Take a key out of the file. Raises UnusableKeys where there is none of this name."""
    with _changing(path) as keys:
        if all(key.name != name for key in keys):
            raise UnusableKeys(f"there is no key {name!r}")
        keys[:] = [key for key in keys if key.name != name]


def parts(shown: str) -> tuple[str, str] | None:
    """Id and secret of what a client shows; None where it is no key."""
    prefix, _, rest = shown.partition("_")
    number, _, secret = rest.partition("_")
    return (number, secret) if prefix == PREFIX and number and secret else None


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys of a file, which is replaced by what has become of them. One process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read(path) if path.exists() else []
        yield keys
        draft = path.with_name(f".{path.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_File(keys=keys)), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)


def _scrypt(secret: str, salt: bytes) -> str:
    """RFC 7914 with N = 2^14, r = 8, p = 1: 16 MiB and some 50 ms."""
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**14, r=8, p=1).hex()


def _check(secret: str) -> str:
    return hashlib.sha256(secret.encode()).digest()[:_CHECK_BYTES].hex()
