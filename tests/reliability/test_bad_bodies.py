"""Bodies that are broken on purpose: each gets a refusal that names the field, and never a status 500."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest

from tests.service.helpers import (
    JSON,
    NPY,
    Running,
    assert_problem,
    images,
    npy,
    npy_claiming,
    picture,
)

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]  # numpy parses headers as Python

PICTURE = picture(images(1)[0])
PATHS = ("/score", "/encode", "/inpaint", "/score?model=points")


def part(
    head: str = 'Content-Disposition: form-data; name="files"; filename="a.png"', kind: str = "image/png"
) -> bytes:
    return f"--x\r\n{head}\r\nContent-Type: {kind}\r\n\r\n".encode("latin-1") + PICTURE + b"\r\n"


CHARSETS = ["undefined", "utf-7", "utf-16", "idna", "punycode", "rot13", "base64", "zip", "nothing", "\x7f", "a" * 9999]
TYPES = [
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="',
    f"multipart/form-data; boundary={'x' * 5000}",
    "multipart/form-data; boundary=é",
    "multipart/form-data; boundary*=utf-8''x",
    *(f"multipart/form-data; boundary=x; charset={charset}" for charset in CHARSETS),
    *(f"multipart/form-data; charset={charset}; boundary=x" for charset in CHARSETS),
]
MULTIPART = [
    part(),  # no end
    b"--x--",
    b"--x--\r\n",
    b"--",
    b"",
    b"--x\r\n\r\n--x--\r\n",
    part("Content-Disposition: form-data") + b"--x--",
    part('Content-Disposition: form-data; name="files"') + b"--x--",
    part("Content-Disposition: attachment; filename=a.png") + b"--x--",
    part("Content-Disposition: form-data; name=\"\xff\"; filename*=undefined''%ff") + b"--x--",
    part("X: y") + b"--x--",
    part("Content-Disposition") + b"--x--",
    part(kind="text/plain; charset=undefined") + b"--x--",
    part('Content-Disposition: form-data; name="_charset_"') + b"--x--",
    part('Content-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Transfer-Encoding: base64')
    + b"--x--",
    part('Content-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Transfer-Encoding: rot13')
    + b"--x--",
    b"--x\r\n" + b"a: b\r\n" * 1000 + b"\r\n--x--\r\n",
    b"--x\r\n" + b"a" * 100_000 + b"\r\n\r\n--x--\r\n",
    part() * 3 + b"--x-",
    part()[:-1] + b"--x--",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_broken_multipart_body_is_refused(
    service: Running, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    for body in MULTIPART:
        answer = await service.http.post(
            path, content=body, headers={"content-type": "multipart/form-data; boundary=x"}
        )
        # RFC 7578 took this header out: it changes nothing.
        assert 400 <= answer.status_code < 500 or b"Transfer-Encoding" in body, (body[:200], answer.text)
    for kind in TYPES:
        for body in (part() + b"--x--\r\n", b"--x--", b""):
            answer = await service.http.post(path, content=body, headers={b"content-type": kind.encode()})
            assert answer.status_code < 500, (kind[:80], body[-20:], answer.text)
    assert await service.still_good()
    assert caplog.records == []


SHAPES = [
    "(2**62,0)",
    f"({2**62},0)",
    f"({2**63},0)",
    f"({2**64},)",
    f"(0,{2**62})",
    f"({2**40},0,{2**40})",
    f"({2**40},{2**40},0)",
    f"({','.join(['1'] * 33)})",
    f"({','.join(['1'] * 70)})",
    f"({','.join(['0'] * 70)})",
    f"({','.join(['1'] * 64)})",
    f"({'-' * 9000}1,)",
    f"({'~' * 9000}1,)",
    f"{'(' * 3000}1{')' * 3000}",
    "(True,2)",
    "(True,True)",
    "(False,)",
    "(-1,2)",
    "(1.0,2)",
    "('2',)",
    "((1,),2)",
    "()",
    "(0,)",
    "(0,0)",
    "(0,8,8)",
    "(0,0,0,0)",
    "[2]",
    "{2}",
    "{}",
    "(1,2",
    "None",
]


@pytest.mark.parametrize("path", [*PATHS, "/decode", "/decode?model=points"])
async def test_an_impossible_npy_shape_is_refused(
    service: Running, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    for shape in SHAPES:
        for dtype in ("|u1", "<f4", ">f8", "|b1", "<f2", "<i8", "<f16", "|O", "|V0", "<U0", "|S0", "<M8[s]"):
            for data in (b"", b"\0" * 8):
                answer = await service.http.post(path, content=npy_claiming(shape, dtype, data), headers=NPY)
                assert answer.status_code < 500, (shape, dtype, len(data), answer.text)
                if answer.status_code != 200:
                    assert_problem(answer, answer.status_code, answer.json().get("field"))
    assert await service.still_good()
    assert caplog.records == []


async def test_extended_floats_are_numbers_or_refused(service: Running) -> None:
    for model, shape in (("digits", (1, 8, 8)), ("points", (1, 2))):
        for dtype in (np.longdouble, np.float16, np.int8, np.uint64):
            answer = await service.http.post(f"/score?model={model}", content=npy(np.zeros(shape, dtype)), headers=NPY)
            assert answer.status_code in (200, 422), answer.text


async def test_a_full_temporary_directory_stops_no_request(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bodies stay in memory: a large multipart body needs no disk."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for name in (
        "mkstemp",
        "mkdtemp",
        "NamedTemporaryFile",
        "TemporaryFile",
        "SpooledTemporaryFile",
        "_get_default_tempdir",
    ):
        monkeypatch.setattr(tempfile, name, full)
    large = picture(np.random.default_rng(0).integers(0, 256, (2000, 2000), dtype=np.uint8))
    files = [("files", ("a.png", large, "image/png")) for _ in range(2)]
    assert (await service.http.post("/score?fit=true", files=files)).status_code == 200
    assert caplog.records == []


async def test_a_body_in_an_encoding_that_is_not_read_is_415(service: Running) -> None:
    for encoding in ("gzip", "br", "deflate", "zstd", "gzip, br", "what"):
        headers = {**JSON, "content-encoding": encoding}
        for path in PATHS:
            answer = await service.http.post(path, content=b"\x1f\x8b", headers=headers)
            assert_problem(answer, 415, "Content-Encoding")
    plain = await service.http.post("/score", json={"items": [[[0] * 8] * 8]}, headers={"content-encoding": "identity"})
    assert plain.status_code == 200
