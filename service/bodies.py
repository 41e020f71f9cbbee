"""Request bodies as they arrive: which type, how many parts, how many items they can hold at most. Nothing decoded."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile

from service.arrays import npy_header
from service.errors import Malformed, TooLarge, WrongType, WrongValue
from service.negotiation import JPEG, JSON, NPY, PNG

MULTIPART = "multipart/form-data"
_UNTYPED = "application/octet-stream"
_MOST_FIELDS = 16
_SHORTEST_NUMBER = 2  # a digit and a comma


@dataclass(frozen=True)
class Part:
    """One file of a multipart body, or a whole body of another type."""

    name: str
    type: str
    data: bytes


@dataclass(frozen=True)
class Body:
    type: str
    parts: list[Part]

    @property
    def size(self) -> int:
        return sum(len(part.data) for part in self.parts)

    def most_items(self, shape: tuple[int, ...]) -> int:
        """A bound on the items that the body holds, found without decoding it."""
        if self.type == NPY:
            claimed = npy_header(self.parts[0].data)[0].shape
            return claimed[0] if len(claimed) > len(shape) else 1
        if self.type == JSON:
            entries = len(self.parts[0].data) // _SHORTEST_NUMBER
            dimensions = 1
            for extent in shape:
                dimensions *= extent
            return max(entries // dimensions, 1)
        return len(self.parts)


async def read_body(request: Request, accepted: tuple[str, ...], most_files: int) -> Body:
    """The body, if it is of an accepted type. Raises WrongType, WrongValue, TooLarge, or Malformed for broken parts."""
    found = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if found not in accepted:
        raise WrongType(f"the body must be {', '.join(accepted)}", "Content-Type")
    if found != MULTIPART:
        return Body(found, [Part("body", found, await request.body())])
    if not (await request.body()).rstrip().endswith(b"--"):  # the parser would leave a cut-off last part out
        raise Malformed("the multipart body lacks its closing boundary")
    parts = []
    # One file more than allowed is read, so that too many are told from a damaged body.
    async with request.form(max_files=most_files + 1, max_fields=_MOST_FIELDS) as form:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise WrongValue(f"{name} must be sent as a file", name)
            kind = (value.content_type or _UNTYPED).split(";")[0].strip().lower()
            if kind not in (PNG, JPEG, NPY, _UNTYPED):
                raise WrongType(f"{name} must be {PNG}, {JPEG} or {NPY}", name)
            parts.append(Part(name, kind, await value.read()))
    if len(parts) > most_files:
        raise TooLarge(f"at most {most_files} files are taken in one request", "items")
    if not parts:
        raise WrongValue("the multipart body holds no file", "items")
    return Body(MULTIPART, parts)
