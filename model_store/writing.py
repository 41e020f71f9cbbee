"""Publishing: files are written into a hidden directory of the store, synced, and renamed to the next version.

The rename makes the version appear as a whole: a reader sees all of its files or none. A store at a URL has no rename;
its manifest is written last (``remote.store``). Where SLUICE_SIGNING_KEY names a key, the version is signed before.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model_store import manifest as m
from model_store.aliases import DEFAULT, largest_named
from model_store.drafts import draft_directory, sweep
from model_store.errors import StoreError
from model_store.files import names_in, replace_durably, sync_directory, write_durably
from model_store.reference import VERSION
from model_store.remote.store import RemoteStore
from model_store.signatures import sign, signing_key
from model_store.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

logger = logging.getLogger("sluice")


def written(store: Store, draft: m.Manifest, files: Mapping[str, bytes]) -> int:
    """Write the files and the manifest as the next version; its number. On any error no reader sees anything of it."""
    entries = {
        file: m.FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for file, data in files.items()
    }
    whole, key = draft.model_copy(update={"files": entries}), signing_key()
    version = store.add(whole, files, key) if isinstance(store, RemoteStore) else _add(store.root, whole, files, key)
    try:
        store.set_alias(draft.name, DEFAULT, version, only_newer=True)  # another may have published a later one
    except (StoreError, OSError) as error:  # what was published is there all the same
        logger.warning("%s@%d is published, but it could not be made the default: %s", draft.name, version, error)
    return version


def _add(root: Path, draft: m.Manifest, files: Mapping[str, bytes], key: Ed25519PrivateKey | None) -> int:
    """Write a version into a directory of models; its number."""
    directory = root / draft.name
    directory.mkdir(parents=True, exist_ok=True)
    sweep(directory)
    with draft_directory(directory) as temporary:
        temporary.chmod(0o755)  # mkdtemp's 0700 would keep out a service that runs as another user
        for file, data in files.items():
            write_durably(temporary / file, data)
        version = None
        while version is None:
            version = _claim(temporary, draft, directory, key)
        sync_directory(directory)
    return version


def _claim(temporary: Path, draft: m.Manifest, directory: Path, key: Ed25519PrivateKey | None) -> int | None:
    """Sign and rename to the next free version and return it, or None when another publisher took that number first."""
    # Numbers of incomplete versions are taken too: a version without its manifest may still have its directory. So is
    # the number of a removed version that an alias still names: it must not mean two models.
    taken = (int(name) for name in names_in(directory) if re.fullmatch(VERSION, name))
    version = max([largest_named(directory), *taken]) + 1
    manifest = draft.model_copy(update={"version": version})
    data = (manifest.model_dump_json(indent=1, by_alias=True) + "\n").encode()
    replace_durably(temporary / m.MANIFEST, data)
    if key is not None:
        sign(temporary, data, key)
    try:
        temporary.rename(directory / str(version))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return None
    return version
