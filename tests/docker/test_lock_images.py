"""Images of others: every one passes through the program that holds them by digests, which takes none on trust."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from docker import lock_images

ROOT = Path(__file__).parents[2]
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Registry:
    """A registry of two steps: a token first, then the manifest, whose bytes follow from its path."""

    url: str = ""
    kind: str = INDEX
    wrong_digest: bool = False
    login: bool = False
    missing: str = ""
    asked: list[str] = field(default_factory=list)

    def manifest(self, path: str) -> bytes:
        return json.dumps({"manifests": [], "of": path}).encode()

    def digest(self, path: str) -> str:
        return f"sha256:{hashlib.sha256(self.manifest(path)).hexdigest()}"


@pytest.fixture
def registry() -> Iterator[Registry]:
    state = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            if self.path.startswith("/token?"):
                self.answer(200, b'{"token": "abc"}', "application/json")
            elif self.headers.get("Authorization") != "Bearer abc":
                realm = "Basic" if state.login else f'Bearer realm="{state.url}/token",service="here",scope="pull"'
                self.answer(401, b"{}", "application/json", {"WWW-Authenticate": realm})
            elif state.missing and state.missing in self.path:
                self.answer(404, b"{}", "application/json")
            else:
                assert INDEX in self.headers["Accept"]
                told = "sha256:" + "0" * 64 if state.wrong_digest else state.digest(self.path)
                self.answer(200, state.manifest(self.path), state.kind, {"Docker-Content-Digest": told})

        def answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that name images, without digests where they have some."""
    (tmp_path / "docker").mkdir()
    for file in lock_images.FILES:
        shutil.copy2(ROOT / file, tmp_path / file)
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(re.sub("@sha256:[0-9a-f]{64}", "", text))
    return tmp_path


def read(root: Path) -> dict[str, str]:
    return {file: (root / file).read_text() for file in lock_images.FILES}


def images_under(node: Any) -> Iterator[str]:
    """The values of every key `image` in a YAML document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node if isinstance(node, list) else ()):
        if key == "image" and isinstance(value, str):
            yield value
        yield from images_under(value)


def test_no_image_of_others_is_named_but_where_its_digest_would_be_put() -> None:
    found = {image.tagged for text in read(ROOT).values() for image in lock_images.images_in(text)}
    dockerfile = (ROOT / "docker/Dockerfile").read_text("utf-8")
    arguments = dict(re.findall(r"^ARG (\w+)=(.*)$", dockerfile, re.MULTILINE))
    stages = set(re.findall(r"^FROM .* AS (\w+)$", dockerfile, re.MULTILINE))
    bases = [name for name in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) if name not in stages]
    named = {arguments[name.strip("${}")] if name.startswith("$") else name for name in bases}
    for file in [*ROOT.glob("docker-compose*.yml"), *ROOT.glob("docker/**/*.y*ml")]:
        for document in yaml.safe_load_all(file.read_text("utf-8")):
            named |= {re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", name) for name in images_under(document)}
    others = {name for name in named if not re.fullmatch(r"(registry\.example\.com/)?sluice(:[\w.-]+)?", name)}
    assert {name.partition("@")[0] for name in others} == found
    assert {name.partition(":")[0] for name in found} == {"nvidia/cuda", "prom/prometheus", "grafana/grafana"}
    assert not any(name.endswith(":latest") for name in found)


def test_digests_are_put_behind_the_tags_and_nothing_else_changes(
    copy: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read(copy)
    assert lock_images.main(["--root", str(copy), "--check"]) == 1
    assert "prom/prometheus:v2.53.3 is held by its tag alone" in capsys.readouterr().err
    assert lock_images.main(["--root", str(copy), "--registry", registry.url]) == 0
    after = read(copy)
    assert {file: re.sub("@sha256:[0-9a-f]{64}", "", text) for file, text in after.items()} == before
    images = [image for text in after.values() for image in lock_images.images_in(text)]
    for image in images:
        assert image.digest == registry.digest(f"/v2/{image.name}/manifests/{image.tag}")
    assert len(images) == 3
    assert f"ARG BASE_IMAGE={images[0].tagged}@{images[0].digest}\n" in after["docker/Dockerfile"]
    assert f"image: ${{PROMETHEUS_IMAGE:-{images[1].tagged}@{images[1].digest}}}\n" in after["docker-compose.yml"]
    assert lock_images.main(["--root", str(copy), "--check"]) == 0
    # A tag that was changed gets the digest of its own.
    compose = copy / "docker-compose.yml"
    compose.write_text(compose.read_text().replace("v2.53.3@", "v9@"))
    assert lock_images.main(["--root", str(copy), "--registry", registry.url]) == 0
    assert f"prom/prometheus:v9@{registry.digest('/v2/prom/prometheus/manifests/v9')}}}" in compose.read_text()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"wrong_digest": True}, "and the registry says sha256:000"),
        ({"kind": "text/html"}, "is text/html, and no manifest"),
        ({"login": True}, "asks for a login"),
        ({"missing": "grafana"}, "gave no manifest of grafana/grafana:11.3.0: HTTP Error 404"),
        ({"url": "http://127.0.0.1:9"}, "Connection refused"),
    ],
)
def test_a_registry_that_gives_no_usable_answer_changes_nothing(
    copy: Path, registry: Registry, fault: dict[str, object], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in fault.items():
        setattr(registry, name, value)
    before = read(copy)
    assert lock_images.main(["--root", str(copy), "--registry", registry.url]) == 3
    said = capsys.readouterr().err
    assert said.startswith("no image is locked: ")
    assert why in said
    assert said.count("\n") == 1
    assert read(copy) == before


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("debian", "registry-1.docker.io/v2/library/debian/manifests/12"),
        ("prom/prometheus", "registry-1.docker.io/v2/prom/prometheus/manifests/12"),
        ("quay.io/a/b", "quay.io/v2/a/b/manifests/12"),
    ],
)
def test_each_image_is_asked_of_its_own_registry(monkeypatch: pytest.MonkeyPatch, name: str, path: str) -> None:
    asked: list[str] = []

    def manifest(url: str) -> tuple[bytes, None]:
        asked.append(url)
        return b"{}", None

    monkeypatch.setattr(lock_images, "_manifest", manifest)
    digest_of = lock_images.asked_for(None)
    assert digest_of(lock_images.Image(name, "12", None)) == f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    assert asked == [f"https://{path}"]
