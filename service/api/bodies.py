"""Request bodies as they arrive: of which type, in how many parts. Nothing of their content is decoded here."""

from __future__ import annotations

import logging
from typing import Any

import python_multipart
from python_multipart.multipart import Field, File

from service.api.guard import Exchange
from service.media.items import Body, Part
from service.media.types import JPEG, MULTIPART, NPY, PNG
from service.protocol.errors import Malformed, Problem, TooLarge, WrongType, WrongValue

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it logs each damaged body: a flood of lines

_UNTYPED = "application/octet-stream"
_IN_MEMORY: Any = {"MAX_MEMORY_FILE_SIZE": 2**40}
"""The guard has bounded the body already: no part of it goes to the disk."""
_LARGE = 2**16
"""Bytes of a multipart body from which it is taken apart beside the event loop."""


async def read_body(exchange: Exchange, accepted: tuple[str, ...], most_files: int) -> Body:
    """The body, if it is of an accepted type. Raises WrongType, WrongValue, TooLarge, or Malformed for broken parts."""
    header = exchange.headers.get(b"content-type", b"").decode("latin-1")
    found = header.split(";")[0].strip().lower()
    if found not in accepted:
        raise WrongType(f"the body must be {', '.join(accepted)}", "Content-Type")
    data = await exchange.body()
    if found != MULTIPART:
        return Body(found, [Part("body", found, data)])
    size = len(data) if len(data) > _LARGE else 0
    return await exchange.service.compute(lambda: parts_of(data, header, most_files), size)


def parts_of(data: bytes, content_type: str, most_files: int) -> Body:
    parts: list[Part] = []
    ended = False

    def on_file(file: File) -> None:
        name = (file.field_name or b"").decode("utf-8", "replace")
        kind = (file.content_type or _UNTYPED).split(";")[0].strip().lower()
        if kind not in (PNG, JPEG, NPY, _UNTYPED):
            raise WrongType(f"{name[:40]} must be {PNG}, {JPEG} or {NPY}", name[:40])
        if len(parts) == most_files:
            raise TooLarge(f"at most {most_files} files are taken in one request", "items")
        file.file_object.seek(0)
        parts.append(Part(name, kind, file.file_object.read()))

    def on_field(field: Field) -> None:
        name = (field.field_name or b"").decode("utf-8", "replace")
        raise WrongValue(f"{name[:40]} must be sent as a file", name[:40])

    def on_end() -> None:
        nonlocal ended
        ended = True

    try:
        parser = python_multipart.create_form_parser(
            {"Content-Type": content_type.encode()}, on_field, on_file, config=_IN_MEMORY
        )
        parser.on_end = on_end
        parser.write(data)
        parser.finalize()
    except (Problem, MemoryError):
        raise
    except Exception as error:  # the parser raises several kinds of error on damaged bodies
        raise Malformed("the multipart body is damaged") from error
    if not ended:  # the parser leaves a part that was cut off out, without a word
        raise Malformed("the multipart body lacks its closing boundary")
    if not parts:
        raise WrongValue("the multipart body holds no file", "items")
    return Body(MULTIPART, parts)
