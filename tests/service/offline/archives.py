"""Archives of arrays that are damaged in ways that zipfile tells by different errors."""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np

from tests.service.helpers import npy

_LOCAL, _CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
"""How the headers of a member begin: before its content, and in the directory at the end."""


def overwritten(data: bytes, at: int, count: int = 60) -> bytes:
    return data[:at] + b"\xff" * count + data[at + count :]


def archive_of(array: np.ndarray) -> bytes:
    """An archive that is not packed, as np.savez writes it."""
    stream = io.BytesIO()
    np.savez(stream, array)
    return stream.getvalue()


def of_the_future(array: np.ndarray) -> bytes:
    """An archive that needs a version of zip that there is not."""
    return _patched(archive_of(array), 255, 4, 6)


def encrypted(array: np.ndarray) -> bytes:
    """An archive whose member is marked as encrypted."""
    return _patched(archive_of(array), 1, 6, 8)


def undecodable(array: np.ndarray) -> bytes:
    """An archive whose second half is not what deflate can write: zlib raises an error of its own."""
    packer, data, stream = zlib.compressobj(0, zlib.DEFLATED, -15), npy(array), io.BytesIO()
    half = packer.compress(data[: len(data) // 2]) + packer.flush(zlib.Z_FULL_FLUSH)
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("arr_0.npy", half + b"\x07" * len(data))  # 7 begins a block of the type that does not exist
    return _patched(stream.getvalue(), zipfile.ZIP_DEFLATED, 8, 10)


def _patched(archive: bytes, value: int, local: int, central: int) -> bytes:
    """The archive of one member with a byte of both its headers changed."""
    for signature, place in ((_LOCAL, local), (_CENTRAL, central)):
        at = archive.index(signature) + place
        archive = archive[:at] + bytes([value]) + archive[at + 1 :]
    return archive
