"""Signatures of published models: Ed25519 (RFC 8032) over the bytes of the manifest.

The manifest lists the hash of every file, and holds name and version, so that no version can take the place of another
one. A version that was signed has one more file, `manifest.sig`. Needs the package cryptography, the extra `sign`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.errors import StoreError
from model_store.files import DamagedFile, read_plain, replace_durably
from model_store.manifest import SIGNATURE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNING_KEY = "SLUICE_SIGNING_KEY"
"""The variable that names the file of the private key by which every version that is published gets signed."""
_CONTEXT = b"Sluice manifest, format 1\n"
"""Comes before the manifest in what is signed: a signature that the key made elsewhere means nothing here."""
_LARGEST = 64 * 1024
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


class UnusableKey(StoreError):
    """A file of keys cannot be read, or holds no key of the right kind."""


class _Document(BaseModel):
    """What `manifest.sig` holds, as JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[1] = 1
    algorithm: Literal["ed25519"] = "ed25519"
    key: str
    """The fingerprint of the public key."""
    signature: Annotated[str, Field(max_length=200)]
    """Base64."""


class TrustedKeys:
    """Public keys, by fingerprint. A version counts as signed if one of them signed its manifest."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = dict(keys)

    @classmethod
    def read(cls, path: Path) -> TrustedKeys:
        """The keys of a file of PEM blocks, one after another. Raises UnusableKey."""
        needs_cryptography()
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        blocks = _PEM.findall(_bytes_of(path))
        if not blocks:
            raise UnusableKey(f"{path} holds no public key in PEM")
        keys = {}
        for block in blocks:
            try:
                key = serialization.load_pem_public_key(block)
            except ValueError as error:
                raise UnusableKey(f"{path} holds a public key that cannot be read") from error
            if not isinstance(key, Ed25519PublicKey):
                raise UnusableKey(f"{path} holds a public key that is not of Ed25519")
            keys[fingerprint(key)] = key
        return cls(keys)

    def check(self, directory: Path, manifest: bytes) -> str:
        """The fingerprint of the key that signed the manifest in a version's directory.

        Raises DamagedFile, with the reason, where none of the keys did.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            said = _Document.model_validate_json(read_plain(directory, SIGNATURE, _LARGEST))
            signature = base64.b64decode(said.signature, validate=True)
        except DamagedFile as error:
            raise DamagedFile("it is not signed, and only signed models are served here") from error
        except (ValidationError, ValueError) as error:
            raise DamagedFile(f"{SIGNATURE} cannot be read") from error
        key = self._keys.get(said.key)
        if key is None:
            raise DamagedFile(f"it is signed by a key that is not trusted here: {said.key[:32]!r}")
        try:
            key.verify(signature, _CONTEXT + manifest)
        except InvalidSignature as error:
            raise DamagedFile("its signature does not fit its manifest") from error
        return said.key


def make_key(path: Path) -> str:
    """Write a new private key to a file that only its owner can read, and the public one beside it, `.pub`.

    Gives the fingerprint. Raises UnusableKey where one of the files is there already or cannot be written.
    """
    needs_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        for target, data, mode in ((path, private, 0o600), (path.with_name(path.name + ".pub"), public, 0o644)):
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
    except OSError as error:
        raise UnusableKey(f"no key can be written to {error.filename}: {error.strerror}") from error
    return fingerprint(key.public_key())


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a file, PEM without a password. Raises UnusableKey."""
    needs_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(_bytes_of(path), password=None)
    except (ValueError, TypeError) as error:
        raise UnusableKey(f"{path} holds no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{path} holds a private key that is not of Ed25519")
    return key


def signing_key() -> Ed25519PrivateKey | None:
    """The private key that SLUICE_SIGNING_KEY names; None where it is not set. Raises UnusableKey."""
    named = os.environ.get(SIGNING_KEY)
    return read_key(Path(named)) if named else None


def sign(directory: Path, manifest: bytes, key: Ed25519PrivateKey) -> str:
    """Sign the manifest in a version's directory; the fingerprint of the key. The signature is written in one step."""
    replace_durably(directory / SIGNATURE, signature_of(manifest, key))
    return fingerprint(key.public_key())


def signature_of(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """What `manifest.sig` holds beside a manifest."""
    signature = base64.b64encode(key.sign(_CONTEXT + manifest)).decode()
    document = _Document(key=fingerprint(key.public_key()), signature=signature)
    return (document.model_dump_json(indent=1) + "\n").encode()


def fingerprint(key: Ed25519PublicKey) -> str:
    """The first 32 hexadecimal digits of sha256 of the key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:32]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()[: 1 << 20]
    except OSError as error:
        raise UnusableKey(f"{path} cannot be read: {error.strerror or error}") from error


def needs_cryptography() -> None:
    """Raises UnusableKey where the package is not installed."""
    if find_spec("cryptography") is None:
        raise UnusableKey("signatures need the package cryptography: pip install 'sluice[sign]'")
