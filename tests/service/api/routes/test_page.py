"""/: a page that loads nothing from elsewhere, and little in all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service import keys
from tests.service.helpers import Running, Start, assert_problem

pytestmark = pytest.mark.anyio

_IMPORT = re.compile(r'^import (?:.* from )?"(\.{1,2}/[^"]+)";$', re.MULTILINE)


async def parts(service: Running) -> dict[str, bytes]:
    """What the page loads: what its HTML names, and what those scripts import."""
    page = (await service.http.get("/")).text
    waiting = set(re.findall(r'(?:src|href)="(page/[^"]+)"', page))
    found: dict[str, bytes] = {}
    while waiting:
        path = waiting.pop()
        answer = await service.http.get(f"/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("text/css" if path.endswith(".css") else "text/javascript")
        found[path] = answer.content
        for relative in _IMPORT.findall(answer.text):
            parent = Path(path).parent
            name = (
                (parent / relative).as_posix()
                if relative.startswith("./")
                else (parent.parent / relative[3:]).as_posix()
            )
            if name not in found:
                waiting.add(name)
    return found


async def test_all_that_it_loads_comes_from_the_service_and_is_small(service: Running) -> None:
    page = await service.http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "://" not in page.text
    found = await parts(service)
    assert {"page/main.js", "page/page.css", "page/npy.js", "page/tabs/inpaint.js"} <= set(found)
    assert len(page.content) + sum(map(len, found.values())) < 150_000


async def test_each_file_of_the_folder_is_loaded(service: Running) -> None:
    folder = Path("service/page")
    files = {
        f"page/{path.relative_to(folder)}" for kind in ("*.js", "tabs/*.js", "*.css") for path in folder.glob(kind)
    }
    assert set(await parts(service)) == files


async def test_its_policy_forbids_inline_scripts_and_styles(service: Running) -> None:
    for path in ("/", "/page/main.js"):
        policy = (await service.http.get(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
    page = (await service.http.get("/")).text
    assert "<style" not in page
    assert not re.search(r"\s(style|on\w+)=", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)


async def test_what_has_not_changed_is_not_sent_again(service: Running) -> None:
    for path in ("/", "/page/main.js"):
        first = await service.http.get(path)
        assert first.headers["cache-control"] == "no-cache"
        again = await service.http.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert (await service.http.get(path, headers={"if-none-match": '"another"'})).status_code == 200


@pytest.mark.parametrize("file", ["nothing.js", "..%2f..%2fapp.py", "index.html", "docs/start.js", "tabs"])
async def test_no_other_file_is_served(service: Running, file: str) -> None:
    assert_problem(await service.http.get(f"/page/{file}"), 404, "file")


async def test_it_needs_no_key(start: Start, tmp_path: Path) -> None:
    keys.create(tmp_path / "keys.json", "one", ["read"])
    async with start(keys_file=tmp_path / "keys.json") as service:
        assert (await service.http.get("/models")).status_code == 401
        for path in ("/", "/page/main.js", "/page/tabs/score.js"):
            assert (await service.http.get(path)).status_code == 200
