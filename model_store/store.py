"""The store: which models, versions and aliases a directory holds, and which of them is the default."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from model_store import reference
from model_store.aliases import DEFAULT, read_aliases, write_alias
from model_store.errors import ModelRefused, StoreError, UnknownModel
from model_store.files import (
    LARGEST_JSON,
    DamagedFile,
    names_in,
    read_checked,
    read_object,
    read_plain,
    versions_in,
)
from model_store.loading import LoadedModel, load_version, read_manifest
from model_store.manifest import MANIFEST, Manifest
from model_store.signatures import TrustedKeys, sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

logger = logging.getLogger("sluice")

STORE_FILE = "store.json"


def default_root() -> Path:
    """The store that ships with Sluice."""
    return Path(__file__).parent / "models"


class Store:
    """A directory of published models. Reading never changes it; only ``publish`` and ``set_alias`` write.

    A model whose directory cannot be read is listed by ``names`` and has no versions; ``resolve`` and ``load`` refuse
    it with the reason. The other models of the store are not affected.
    """

    def __init__(self, root: Path, trusted: TrustedKeys | None = None) -> None:
        self.root = root
        self.trusted = trusted
        """Where given, only versions that one of these keys signed can be loaded."""

    def names(self) -> list[str]:
        """The models that have at least one complete version, and those whose directory cannot be read, sorted.

        Raises StoreError when the store itself cannot be read.
        """
        try:
            found = [name for name in names_in(self.root) if reference.is_name(name)]
        except OSError as error:
            raise StoreError(f"the store cannot be read: {error.strerror}") from error
        return sorted(name for name in found if self._unreadable(name) or self.versions(name))

    def versions(self, name: str) -> list[int]:
        """The complete versions of a model, ascending; an empty list where there are none or they cannot be read."""
        try:
            return versions_in(self._directory(name))
        except OSError:
            return []

    def aliases(self, name: str) -> dict[str, int]:
        """The version that each alias points at. Aliases of versions that are not there are left out."""
        versions = self.versions(name)
        return {alias: at for alias, at in read_aliases(self._directory(name)).items() if at in versions}

    def set_alias(self, name: str, alias: str, version: int, *, only_newer: bool = False) -> None:
        """Point an alias at a version. Raises UnknownModel when the version is not there or the alias is no alias.

        With ``only_newer``, an alias that points at a larger version that is there stays as it is.
        """
        if version not in self.versions(name):
            raise UnknownModel(f"{name} has no version {version}")
        write_alias(self._directory(name), alias, version, only_newer)

    def default_name(self) -> str:
        """The model that a request without a name means: store.json's, else the first by name that can be read."""
        names = self.names()
        if not names:
            raise UnknownModel("the store holds no model")
        chosen = read_object(self.root, STORE_FILE).get(DEFAULT)
        return chosen if chosen in names else min(names, key=lambda name: (not self.versions(name), name))

    def resolve(self, text: str | None = None) -> tuple[str, int]:
        """`name`, `name@version` or `name@alias` to a name and a version that is there.

        The alias `default`, which a name alone means, is the newest version where it points at none that is there; a
        warning is then logged.
        Raises UnknownModel, or ModelRefused when the model's directory cannot be read.
        """
        asked = reference.parse(text if text is not None else self.default_name())
        reason = self._unreadable(asked.name)
        if reason:
            raise ModelRefused(asked.name, None, reason)
        versions = self.versions(asked.name)
        if not versions:
            raise UnknownModel(f"there is no model {asked.name!r}")
        if asked.version is not None:
            if asked.version not in versions:
                raise UnknownModel(f"{asked.name} has no version {asked.version}")
            return asked.name, asked.version
        alias = asked.alias or DEFAULT
        version = read_aliases(self._directory(asked.name)).get(alias)
        if version in versions:
            return asked.name, version
        if alias == DEFAULT:
            wrong = f"points at version {version}, which is not there" if version else "is not in aliases.json"
            logger.warning("the default of %s %s: version %d is taken", asked.name, wrong, versions[-1])
            return asked.name, versions[-1]
        if version is None:
            raise UnknownModel(f"{asked.name} has no alias {alias!r}")
        raise UnknownModel(f"the alias {alias!r} of {asked.name} points at version {version}, which is not there")

    def manifest(self, name: str, version: int) -> Manifest:
        """The manifest of a version, parsed strictly. Raises ModelRefused."""
        return read_manifest(self._inside(name, version), name, version)

    def manifest_bytes(self, name: str, version: int) -> bytes:
        """The manifest as it was written. Raises ModelRefused."""
        try:
            return read_plain(self._inside(name, version), MANIFEST, LARGEST_JSON)
        except DamagedFile as error:
            raise ModelRefused(name, version, str(error)) from error

    def read(self, name: str, version: int, file: str) -> bytes:
        """A file that the manifest of a version lists, checked. Raises UnknownModel for another, and ModelRefused."""
        entry = self.manifest(name, version).files.get(file)
        if entry is None:
            raise UnknownModel(f"{name}@{version} has no file {file[:80]!r}")
        try:
            return read_checked(self._inside(name, version), file, entry)
        except DamagedFile as error:
            raise ModelRefused(name, version, str(error)) from error

    def load(
        self,
        name: str,
        version: int,
        device: torch.device | str = "cpu",
        *,
        calibrated: bool = True,
        bfloat16: bool = False,
    ) -> LoadedModel:
        """Load a version with every check (see ``load_version``). Raises ModelRefused with the reason."""
        directory = self._inside(name, version)
        return load_version(
            directory, name, version, device, calibrated=calibrated, bfloat16=bfloat16, trusted=self.trusted
        )

    def sign(self, name: str, version: int, key: Ed25519PrivateKey) -> str:
        """Load a version with every check and sign it; the key's fingerprint. Raises ModelRefused and StoreError."""
        directory = self._inside(name, version)
        data = self.manifest_bytes(name, version)
        loaded = load_version(directory, name, version)
        if loaded.manifest != Manifest.model_validate_json(data):
            raise ModelRefused(name, version, "its manifest changed while it was read")
        try:
            return sign(directory, data, key)
        except OSError as error:
            raise StoreError(f"{name}@{version} cannot be signed: {error.strerror or error}") from error

    def verify(self, name: str, version: int) -> list[str]:
        """Load a version once more and report what was checked, a line for each check. Raises ModelRefused."""
        model = self.load(name, version, bfloat16=True)
        golden = model.manifest.golden
        total = sum(entry.size for entry in model.manifest.files.values())
        signed = []
        if self.trusted is not None:
            made = self.trusted.check(self._inside(name, version), self.manifest_bytes(name, version))
            signed = [f"signed by {made}"]
        return [
            *signed,
            f"{len(model.manifest.files)} files, {total:,} bytes: sizes and sha256 as published",
            f"{model.manifest.weights.parameters:,} parameters: keys, shapes, dtypes, all finite",
            f"round trip errs by {model.deviation.round_trip:.2e} (allowed {golden.round_trip_tolerance:.0e})",
            f"{golden.count} golden log-likelihoods off by at most {model.deviation.log_likelihood:.2e} nats "
            f"(allowed {golden.log_likelihood_tolerance:.2e})",
            _precision_line(model),
        ]

    def _directory(self, name: str) -> Path:
        if not reference.is_name(name):
            raise UnknownModel(f"{name[:80]!r} is not the name of a model")
        return self.root / name

    def _inside(self, name: str, version: int) -> Path:
        """The directory of a version. Raises ModelRefused when it leads out of the store."""
        directory = self._directory(name) / str(version)
        try:
            inside = directory.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError) as error:  # RuntimeError: Python 3.11 and 3.12, for circular links
            raise ModelRefused(name, version, "the version's directory cannot be read") from error
        if not inside:
            raise ModelRefused(name, version, "the version's directory leads out of the store")
        return directory

    def _unreadable(self, name: str) -> str:
        """Why a model's directory cannot be read; empty where it can, or where there is none."""
        try:
            names_in(self._directory(name))
        except OSError as error:
            return f"its directory cannot be read: {error.strerror}"
        return ""


def _precision_line(model: LoadedModel) -> str:
    if model.fallback is not None:
        return f"serves in float32 although published for bfloat16: {model.fallback}"
    if model.precision == "bfloat16":
        return "nets of bfloat16 pass their own self-test: they serve where the hardware multiplies bfloat16"
    return "serves in float32"
