"""Who may do what: the key that a request shows, the scope that its path asks for, a key's requests at once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from starlette.types import Scope as Request

from service import keys
from service.keys import Key, UnusableKeys
from service.protocol.errors import Forbidden, KeyLimit, NotAuthenticated
from service.protocol.tenants import TENANT, Tenant

logger = logging.getLogger("sluice")

_REREAD = 0.5
"""Seconds after which the file is looked at again."""

_PUBLIC = frozenset({"/", "/docs", "/openapi.json"})
_PUBLIC_BELOW = ("/docs/", "/page/", "/health/", "/v2/health/")
_INFERENCE = ("/score", "/sample", "/inpaint", "/encode", "/decode")
ADMINISTRATION = "/v2/repository/models/"


def scope_of(path: str) -> keys.Scope | None:
    """The scope that a path asks for; None where anybody may ask. What nobody thought of asks for `read`."""
    if path in _PUBLIC or path.startswith(_PUBLIC_BELOW):
        return None
    if path.startswith(ADMINISTRATION):
        return "admin"
    if path == "/metrics":
        return "metrics"
    first = "/" + path.split("/", 2)[1]
    if first in _INFERENCE or (path.startswith("/v2/models/") and path.endswith("/infer")):
        return "infer"
    return "read"


class Authority:
    """The keys of a file, which is read again when it changes. Belongs to one event loop.

    Each of several ``devices`` keeps an equal part of a key's item-ticks, since requests are divided among them.
    """

    def __init__(self, path: Path, devices: int = 1) -> None:
        self._path, self._devices = path, devices
        self._seal = secrets.token_bytes(32)
        self._known: dict[str, bytes] = {}
        """Keyed hashes of keys that scrypt has found right, by id: what a request shows is compared with these."""
        self._keys: dict[str, Key] = {}
        self._state: tuple[int, int, int] | None = None
        self._look_at = 0.0
        self._at_once: Counter[str] = Counter()
        self._checking = asyncio.Lock()
        self._read()

    async def _key(self, request: Request) -> Key:
        shown = shown_by(request)
        if shown is None:
            raise NotAuthenticated("this service asks for an API key: Authorization: Bearer KEY, or X-API-Key: KEY")
        self._reread()
        found = await self._checked(shown)
        if found is None:
            raise NotAuthenticated("the API key is not known here", supplied=True)
        if found.expired(datetime.now(UTC)):
            raise NotAuthenticated("the API key has expired", supplied=True)
        return found

    async def admitted(self, request: Request) -> Key | None:
        """The key of a request that may be answered, from now on one of the key's; None where none is asked for.

        ``leave`` is due once it is answered. What the request asks of the device is the key's as well. Raises
        NotAuthenticated, Forbidden or KeyLimit.
        """
        scope = scope_of(request["path"])
        if scope is None or (scope == "admin" and not _is_key(shown_by(request))):  # the admin token is looked at later
            return None
        key = await self._key(request)
        if scope not in key.scopes:
            raise Forbidden(f"the key {key.name} lacks the scope {scope}")
        self._enter(key)
        request["api_key"] = key
        rate = key.item_ticks_per_minute
        TENANT.set(Tenant(key.name, key.concurrent, None if rate is None else -(-rate // self._devices)))
        return key

    def _enter(self, key: Key) -> None:
        if key.concurrent is not None and self._at_once[key.id] >= key.concurrent:
            raise KeyLimit(f"the key {key.name} may have {key.concurrent} requests at once", 1)
        self._at_once[key.id] += 1

    def leave(self, key: Key) -> None:
        """One less."""
        self._at_once[key.id] -= 1
        if self._at_once[key.id] <= 0:
            del self._at_once[key.id]

    async def _checked(self, shown: str) -> Key | None:
        found = keys.parts(shown)
        key = self._keys.get(found[0]) if found is not None else None
        if found is None or key is None:
            return None
        digest = hashlib.blake2b(shown.encode(), key=self._seal).digest()
        if key.id not in self._known:
            async with self._checking:  # scrypt takes 16 MiB: once at a time
                if key.id not in self._known:
                    if not await asyncio.to_thread(key.is_secret, found[1]):
                        return None
                    self._known[key.id] = digest
        return key if hmac.compare_digest(digest, self._known[key.id]) else None

    def _reread(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _REREAD
        try:
            if self._stat() != self._state:
                self._read()
        except UnusableKeys as error:
            logger.error("%s; the keys that were read before stay", error)

    def _read(self) -> None:
        self._state = self._stat()
        found = {key.id: key for key in keys.read(self._path)}
        for number, key in self._keys.items():
            if found.get(number) != key:
                self._known.pop(number, None)
        self._keys = found

    def _stat(self) -> tuple[int, int, int]:
        try:
            stat = self._path.stat()
        except OSError as error:
            raise UnusableKeys(f"the file of keys {self._path} cannot be read: {error.strerror or error}") from error
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def shown_by(request: Request) -> str | None:
    """What a request shows as its key: X-API-Key, or a bearer token. Raises NotAuthenticated for two that differ."""
    headers: dict[bytes, bytes] = dict(request["headers"])
    kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    bearer = token.strip() if kind.lower() == "bearer" and token.strip() else None
    plain = headers.get(b"x-api-key")
    if plain is None:
        return bearer
    shown = plain.decode("latin-1").strip()
    if bearer is not None and bearer != shown:
        raise NotAuthenticated("Authorization and X-API-Key show different keys; show one", supplied=True)
    return shown


def _is_key(shown: str | None) -> bool:
    return shown is not None and keys.parts(shown) is not None
