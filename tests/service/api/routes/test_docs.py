"""/docs: a page that loads nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

from tests.service.helpers import Running, assert_problem

pytestmark = pytest.mark.anyio


async def test_the_page_and_what_it_loads_come_from_the_service(service: Running) -> None:
    page = await service.http.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "://" not in page.text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert parts == ["data:,", "docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js"]
    for part in parts[1:]:
        answer = await service.http.get(f"/{part}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/css" if part.endswith("css") else "text/javascript")
        assert len(answer.content) > 50
    assert 'url: "openapi.json"' in answer.text
    assert (await service.http.get("/openapi.json")).json()["openapi"].startswith("3.1")


async def test_its_policy_lets_it_load_from_the_service_alone_and_be_framed_nowhere(service: Running) -> None:
    policy = (await service.http.get("/docs")).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("file", ["nothing.js", "..%2f..%2fapp.py", "LICENSE", "index.html"])
async def test_no_other_file_is_served(service: Running, file: str) -> None:
    answer = await service.http.get(f"/docs/{file}")
    assert answer.status_code == 404


async def test_an_unknown_file_is_told(service: Running) -> None:
    assert_problem(await service.http.get("/docs/nothing.js"), 404, "file")
