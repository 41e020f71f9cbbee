"""Multipart bodies: every part arrives or the body is refused; none is lost without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.bodies import read_body
from service.media.items import Body
from service.media.types import JSON, MULTIPART, NPY
from service.protocol.errors import Malformed, Problem, TooLarge, WrongType
from tests.service.helpers import Running, assert_problem, images, picture

TYPE = "multipart/form-data; boundary=x"
ONE = picture(images(1)[0])


def part(data: bytes = ONE, name: str = "files", kind: str = "image/png", disposition: str = "form-data") -> bytes:
    head = f'--x\r\nContent-Disposition: {disposition}; name="{name}"; filename="a.png"\r\nContent-Type: {kind}\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = b"--x--\r\n"


def read(data: bytes, content_type: str = TYPE, most: int = 10) -> Body:
    """The body of a request, taken apart."""

    async def body() -> bytes:
        return data

    async def compute(work: Callable[[], Any], size: int) -> Any:
        return work()

    headers = {b"content-type": content_type.encode("latin-1")}
    exchange: Any = SimpleNamespace(headers=headers, body=body, service=SimpleNamespace(compute=compute))
    return asyncio.run(read_body(exchange, (MULTIPART, NPY), most))


def test_every_part_arrives_whole_with_its_name_and_type() -> None:
    contents = [b"", b"--", b"\r\n--", b"a--x--", b"\r\n--y--\r\n", ONE, b"a" * 100_000]
    found = read(b"".join(part(data, f"file {place}") for place, data in enumerate(contents)) + END)
    assert [given.data for given in found.parts] == contents
    assert [given.name for given in found.parts] == [f"file {place}" for place in range(len(contents))]
    assert {given.type for given in found.parts} == {"image/png"}
    assert found.size == sum(map(len, contents))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_any_bytes_arrive_as_they_were_sent(contents: list[bytes]) -> None:
    clean = [data.replace(b"--x", b"") for data in contents]
    assert [given.data for given in read(b"".join(map(part, clean)) + END).parts] == clean


WHOLE = part() + part(b"second--") + END


def test_a_body_that_was_cut_anywhere_is_refused() -> None:
    for cut in range(len(WHOLE) - len(b"-\r\n")):
        with pytest.raises(Malformed):
            read(WHOLE[:cut])


@given(st.binary(max_size=200), st.integers(0, len(WHOLE)), st.sampled_from([b"", b"--", b"--x--", b"--x--\r\n", END]))
def test_damaged_bodies_raise_nothing_but_problems(noise: bytes, place: int, end: bytes) -> None:
    for data in (noise + end, WHOLE[:place] + noise + end, WHOLE[:place] + noise + WHOLE[place:]):
        try:
            read(data)
        except Problem:
            continue


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40))
def test_any_content_type_is_read_or_refused(text: str) -> None:
    for kind in (f"multipart/form-data;{text}", f"multipart/form-data; boundary={text}", f"{TYPE}; {text}", text):
        try:
            read(WHOLE, kind)
        except Problem:
            continue


MALFORMED: dict[str, tuple[str, bytes]] = {
    "garbage that ends in dashes": (TYPE, b"any garbage--"),
    "nothing but dashes": (TYPE, b"--"),
    "another boundary": ("multipart/form-data; boundary=y", WHOLE),
    "no boundary": ("multipart/form-data", WHOLE),
    "an empty boundary": ("multipart/form-data; boundary=", WHOLE),
    "a foreign alphabet": ("multipart/form-data; charset=utf-7", WHOLE),
    "no type and no name": (TYPE, b"--x\r\n\r\n" + ONE + b"\r\n" + END),
    "no end of a header": (TYPE, b"--x\r\nContent-Disposition form-data\r\n\r\n" + ONE + b"\r\n" + END),
    "no end": (TYPE, part() + part()),
    "the end of another": (TYPE, part() + b"--y--"),
    "a part cut after its dashes": (TYPE, part() + part(b"data--").removesuffix(b"\r\n")),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("path", ["/score", "/inpaint"])
async def test_a_malformed_body_is_refused_and_the_next_is_answered(service: Running, case: str, path: str) -> None:
    kind, data = MALFORMED[case]
    answer = await service.http.post(path, content=data, headers={"content-type": kind})
    assert_problem(answer, 400)
    assert await service.still_good()
    assert service.waiting == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (f"{TYPE}; charset=utf-7", WHOLE),
        (f"{TYPE}; charset=nonsense", WHOLE),
        (TYPE, part(kind="image/png; charset=utf-7") + END),
        (TYPE, part(name="ä+AGE-") + END),
        (TYPE, part().replace(b"filename=", b"filename*=utf-7''") + END),
        (TYPE, part().replace(b'name="files"', b"name*=utf-7''+AGE-") + END),
        (TYPE, part().replace(b"Content-Type", b"Content-Transfer-Encoding: base64\r\nContent-Type") + END),
        (TYPE, part(disposition="attachment") + END),
        (TYPE, END),
        (TYPE, b"preamble\r\n" + part() + END),
        (TYPE, part() + END + b"epilogue--"),
    ],
)
async def test_an_odd_body_is_never_a_fault_of_the_service(service: Running, kind: str, data: bytes) -> None:
    answer = await service.http.post("/score", content=data, headers={"content-type": kind})
    assert answer.status_code in (200, 400, 415, 422), answer.text
    assert await service.still_good()
    assert service.waiting == 0


@pytest.mark.anyio
async def test_too_many_files_are_refused_while_they_are_read(service: Running) -> None:
    answer = await service.http.post("/score", files=[("files", ("a.png", b"x", "image/png"))] * 10_001)
    assert_problem(answer, 413, "items")
    assert await service.still_good()


def test_the_number_of_files_is_bounded() -> None:
    assert len(read(part() * 3 + END, most=3).parts) == 3
    with pytest.raises(TooLarge):
        read(part() * 4 + END, most=3)


def test_a_body_of_another_type_is_one_part() -> None:
    found = read(b"bytes", f"{NPY}; version=1")
    assert (found.type, [given.data for given in found.parts]) == (NPY, [b"bytes"])
    with pytest.raises(WrongType):
        read(b"{}", JSON)
    with pytest.raises(WrongType):
        read(b"{}", "")
