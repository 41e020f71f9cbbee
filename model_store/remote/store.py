"""The store at a URL: the same layout as a directory, mirrored into a local cache as it is asked for."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from model_store import reference
from model_store.aliases import ALIASES, UNREADABLE, check_alias, largest_named, read_aliases, readable, with_alias
from model_store.errors import ModelRefused, StoreError, UnknownModel
from model_store.files import LARGEST_JSON, names_in, replace_durably, versions_in
from model_store.loading import LoadedModel
from model_store.manifest import MANIFEST, SIGNATURE, FileEntry, Manifest
from model_store.reference import VERSION
from model_store.remote.cache import Cache, DamagedDownload, Held
from model_store.remote.objects import Missing, Objects, Unreachable
from model_store.signatures import TrustedKeys, signature_of
from model_store.store import STORE_FILE, Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

logger = logging.getLogger("sluice")

T = TypeVar("T")

_CLAIM = "claimed"
"""The object by which a publisher takes the number of a version."""
_MARK = ".manifest-mark"
"""Beside a manifest in the mirror: the size and the ETag that the storage gave for it when it was fetched."""
_ALIAS_ATTEMPTS = 20
_DOWNLOADS = 3
"""How often a file whose bytes are not those of the manifest is asked for."""
_PAUSE = 10.0
"""Seconds for which storage that did not answer is not asked again for what the mirror holds: each try takes some."""


class RemoteStore(Store):
    """A store whose directory is a mirror of what lies at a URL.

    Whatever is asked for is looked up at the URL first. Where that does not answer, what the mirror holds counts, with
    a warning in the log: a service starts from its cache while the storage is down. Files come when a version is loaded
    or read. They are checked against the manifest on arrival, and again, like those of a local store, when they are
    loaded.
    """

    def __init__(self, url: str, cache: Path, bound: int, trusted: TrustedKeys | None = None) -> None:
        self.url = url.rstrip("/")
        self._objects, self._cache = Objects(self.url), Cache(cache, bound)
        super().__init__(cache / hashlib.sha256(self.url.encode()).hexdigest()[:16], trusted)
        self.root.mkdir(exist_ok=True)
        self._down_until = 0.0

    def names(self) -> list[str]:
        """The models that have at least one complete version, sorted. Lists the storage once."""
        found = self._ask(lambda: self._objects.below(""), None)
        if found is None:
            return super().names()
        complete = {key.partition("/")[0] for key in found if re.fullmatch(rf"[^/]+/{VERSION}/{MANIFEST}", key)}
        return sorted(filter(reference.is_name, complete))

    def versions(self, name: str) -> list[int]:
        self._refresh(name)
        return super().versions(name)

    def aliases(self, name: str) -> dict[str, int]:
        self._refresh(name)
        found = super().versions(name)
        return {alias: at for alias, at in read_aliases(self._directory(name)).items() if at in found}

    def default_name(self) -> str:
        self._ask(lambda: self._bring(STORE_FILE, self.root / STORE_FILE), None)
        return super().default_name()

    def manifest(self, name: str, version: int) -> Manifest:
        self._refresh(name, version)
        return super().manifest(name, version)

    def manifest_bytes(self, name: str, version: int) -> bytes:
        self._refresh(name, version)
        return super().manifest_bytes(name, version)

    def read(self, name: str, version: int, file: str) -> bytes:
        entry = self.manifest(name, version).files.get(file)
        if entry is None:
            raise UnknownModel(f"{name}@{version} has no file {file[:80]!r}")
        held = self._fetched(name, version, {file: entry})
        try:
            return super().read(name, version, file)
        finally:
            os.close(held)

    def load(
        self,
        name: str,
        version: int,
        device: torch.device | str = "cpu",
        *,
        calibrated: bool = True,
        bfloat16: bool = False,
    ) -> LoadedModel:
        """Bring a version's files and load it with every check. Raises ModelRefused, or StoreError without room."""
        files = self.manifest(name, version).files

        def load() -> LoadedModel:
            held = self._fetched(name, version, files)
            try:
                model = super(RemoteStore, self).load(name, version, device, calibrated=calibrated, bfloat16=bfloat16)
            except BaseException:
                os.close(held)
                raise
            return replace(model, held=Held(held))

        try:
            return load()
        except ModelRefused:
            # The refusal may be for bytes that changed in the cache.
            if not self._cache.forget_damaged(files):
                raise
            return load()

    def set_alias(self, name: str, alias: str, version: int, *, only_newer: bool = False) -> None:
        """Point an alias at a version. Raises UnknownModel, or StoreError where the storage does not take it."""
        if version not in self.versions(name):
            raise UnknownModel(f"{name} has no version {version}")
        check_alias(alias)
        key, directory = f"{name}/{ALIASES}", self._directory(name)
        path = directory / ALIASES
        for attempt in range(_ALIAS_ATTEMPTS):
            time.sleep(attempt * secrets.randbelow(100) / 1000)  # of several writers, each waits for another time
            there = True
            try:
                etag = self._objects.stat(key).etag
                self._bring(key, path)
            except Missing:
                there, etag = False, None
                path.unlink(missing_ok=True)
            at = read_aliases(directory).get(alias, 0)
            if only_newer and at > version and self._is_there(name, at):
                return
            data = with_alias(directory, alias, version)
            if not readable(directory):
                self._objects.replace(f"{name}/{UNREADABLE}", path.read_bytes())
                logger.warning("%s is no JSON object; it is kept as %s", key, UNREADABLE)
            if self._objects.replace(key, data, etag) if there else self._objects.create(key, data):
                return
        raise StoreError(f"{key} could not be written: others change it all the time")

    def sign(self, name: str, version: int, key: Ed25519PrivateKey) -> str:
        held = self._fetched(name, version, self.manifest(name, version).files)
        try:
            made = super().sign(name, version, key)
            written = (self._inside(name, version) / SIGNATURE).read_bytes()
        finally:
            os.close(held)
        self._objects.replace(f"{name}/{version}/{SIGNATURE}", written)
        return made

    def add(self, draft: Manifest, files: Mapping[str, bytes], key: Ed25519PrivateKey | None = None) -> int:
        """Write a version: its number is claimed, its files follow, and the manifest comes last; the number.

        With a ``key`` it is signed, just before the manifest.

        Of two publishers one gets a number and the other the next: the storage creates an object only once. A publisher
        that is killed leaves a number without a manifest, which no reader sees.
        """
        directory = self._directory(draft.name)
        directory.mkdir(exist_ok=True)
        self._bring(f"{draft.name}/{ALIASES}", directory / ALIASES)
        # A removed version that an alias still names keeps its number: it must not mean two models.
        version = max([largest_named(directory), *map(int, self._numbers(draft.name))])
        claimed = False
        while not claimed:
            version += 1
            claimed = self._objects.create(f"{draft.name}/{version}/{_CLAIM}", secrets.token_hex(16).encode())
        for file, data in files.items():
            self._objects.replace(f"{draft.name}/{version}/{file}", data)
        manifest = draft.model_copy(update={"version": version})
        written = (manifest.model_dump_json(indent=1, by_alias=True) + "\n").encode()
        if key is not None:
            self._objects.replace(f"{draft.name}/{version}/{SIGNATURE}", signature_of(written, key))
        if not self._objects.create(f"{draft.name}/{version}/{MANIFEST}", written):
            raise StoreError(f"{draft.name}@{version} was written by somebody else")
        return version

    def _is_there(self, name: str, version: int) -> bool:
        """Whether the storage has a version now; the mirror may not know of it yet."""
        try:
            self._objects.stat(f"{name}/{version}/{MANIFEST}")
        except Missing:
            return False
        return True

    def _numbers(self, name: str) -> set[str]:
        """The versions that there are objects of, complete or not."""
        return {
            key.split("/")[1] for key in self._objects.below(f"{name}/") if re.fullmatch(rf"[^/]+/{VERSION}/.+", key)
        }

    def _refresh(self, name: str, version: int | None = None) -> None:
        """Bring the mirror's manifests and aliases of a model up to date; of one version that is there, nothing."""
        directory = self._directory(name)
        if version is None or not (directory / str(version) / MANIFEST).exists():  # a version never changes
            self._ask(lambda: self._mirror(name, directory), None)
        if version is not None and self.trusted is not None:  # but it can be signed later
            key, path = f"{name}/{version}/{SIGNATURE}", directory / str(version) / SIGNATURE
            if path.parent.is_dir():
                self._ask(lambda: self._bring(key, path), None)

    def _mirror(self, name: str, directory: Path) -> None:
        found = self._objects.below(f"{name}/")
        complete = {int(key.split("/")[1]) for key in found if re.fullmatch(rf"[^/]+/{VERSION}/{MANIFEST}", key)}
        for number in complete:
            key, path = f"{name}/{number}/{MANIFEST}", directory / str(number) / MANIFEST
            # A version does not change, but who removes one and publishes again may get its number.
            mark = f"{found[key].size} {found[key].etag or found[key].changed}"
            if not path.exists() or _text(path.with_name(_MARK)) != mark:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._bring(key, path)
                replace_durably(path.with_name(_MARK), mark.encode())
        for number in set(versions_in(directory)) - complete:
            (directory / str(number) / MANIFEST).unlink(missing_ok=True)
            self._cache.forget(directory / str(number))
        if complete:
            self._bring(f"{name}/{ALIASES}", directory / ALIASES)
        else:
            (directory / ALIASES).unlink(missing_ok=True)

    def _bring(self, key: str, path: Path) -> None:
        """Put a small document into the mirror, or remove it there where the storage has none."""
        try:
            data = self._objects.read_small(key, LARGEST_JSON)
        except Missing:
            path.unlink(missing_ok=True)
            return
        if not path.exists() or path.read_bytes() != data:
            replace_durably(path, data)

    def _fetched(self, name: str, version: int, files: Mapping[str, FileEntry]) -> int:
        """Bring files of a version into the mirror, and hold it. Raises ModelRefused, StoreError."""
        directory = self._inside(name, version)
        held = self._cache.hold(directory)
        try:
            self._refresh(name, version)  # its manifest may have made room for another version meanwhile
            for attempt in range(1, _DOWNLOADS + 1):
                try:
                    self._cache.fill(directory, files, self._fetcher(name, version))
                    break
                except DamagedDownload as error:
                    if attempt == _DOWNLOADS:
                        raise ModelRefused(name, version, str(error)) from error
        except BaseException:
            os.close(held)
            raise
        return held

    def _fetcher(self, name: str, version: int) -> Callable[[str, FileEntry, Callable[[bytes], object]], None]:
        def fetch(file: str, entry: FileEntry, piece: Callable[[bytes], object]) -> None:
            key = f"{name}/{version}/{file}"
            try:
                size = self._objects.stat(key).size
            except Missing as error:
                raise DamagedDownload(f"{file} is missing") from error
            if size != entry.size:
                raise DamagedDownload(f"{file} has {size} bytes, not {entry.size}")
            self._objects.read(key, entry.size, piece)

        return fetch

    def _ask(self, act: Callable[[], T], otherwise: T) -> T:
        """Look something up in the storage; where that does not answer, go on with what the mirror holds, if anything.

        Raises Unreachable where it holds nothing.
        """
        if time.monotonic() < self._down_until:
            return otherwise
        try:
            return act()
        except Unreachable as error:
            if not names_in(self.root):
                raise
            logger.warning("%s; what the cache holds is used", error)
            self._down_until = time.monotonic() + _PAUSE
            return otherwise


def _text(path: Path) -> str | None:
    """What a small file of the mirror holds; None where there is none that can be read."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return None
