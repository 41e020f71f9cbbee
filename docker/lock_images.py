"""Holds the images of others by the digests that their registries tell for their tags: ``make lock-images``.

    python docker/lock_images.py            asks the registries, and writes NAME:TAG@sha256:... wherever NAME:TAG stands
    python docker/lock_images.py --check    asks nobody; exit code 1 where an image is held by its tag alone

Exit code 3: a registry could not be reached or gave no usable answer, and no file was changed. A digest is written only
where the manifest that the registry gave has it as its sha256. Tags stay beside the digests: people read them, and
this program renews by them. To take another version, change the tag and run it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError

ROOT = Path(__file__).parents[1]
FILES = ("docker/Dockerfile", "docker-compose.yml")
"""The files that name images of others."""
_UNREACHABLE = 3
_DOCKER_HUB = "registry-1.docker.io"
_KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""Manifests, those that hold an image for each platform first: one digest is then right on every machine."""
_LARGEST = 4 * 2**20
_SECONDS = 30

_REFERENCE = (
    r"(?P<name>[a-z0-9][a-z0-9._/-]*(?::\d+/[a-z0-9._/-]+)?):(?P<tag>[\w][\w.-]*)(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_PLACES = re.compile(rf"^(?:ARG \w*IMAGE=|FROM |\s*image:\s*(?:\$\{{\w+:-)?){_REFERENCE}", re.MULTILINE)
"""Where a file names an image with a tag: a build argument, a stage, a service, the default of a service's variable."""
_OUR_OWN = "sluice"


class Image(NamedTuple):
    """An image of others, as a file names it."""

    name: str
    tag: str
    digest: str | None

    @property
    def tagged(self) -> str:
        return f"{self.name}:{self.tag}"


class Unreachable(Exception):
    """A registry gave no manifest."""


def images_in(text: str) -> list[Image]:
    """The images of others that a file names."""
    found = (Image(match["name"], match["tag"], match["digest"]) for match in _PLACES.finditer(text))
    return [image for image in found if image.name != _OUR_OWN]


def with_digests(text: str, digest_of: Callable[[Image], str]) -> str:
    """The text of a file with a digest behind each tag of an image of others; all else is as it was."""

    def replaced(match: re.Match[str]) -> str:
        image = Image(match["name"], match["tag"], match["digest"])
        if image.name == _OUR_OWN:
            return match[0]
        before = match[0][: match.start("name") - match.start()]
        return f"{before}{image.tagged}@{digest_of(image)}"

    return _PLACES.sub(replaced, text)


def asked_for(registry: str | None) -> Callable[[Image], str]:
    """What finds digests: in the registry that each image names, or in another one, given as a URL."""
    known: dict[str, str] = {}

    def digest_of(image: Image) -> str:
        if image.tagged not in known:
            known[image.tagged] = _digest(image, registry)
        return known[image.tagged]

    return digest_of


def _digest(image: Image, registry: str | None) -> str:
    host, _, path = image.name.partition("/")
    if "." not in host and ":" not in host:  # Docker Hub is not named, and neither is the owner of official images
        host, path = _DOCKER_HUB, image.name if path else f"library/{image.name}"
    url = f"{registry or f'https://{host}'}/v2/{path}/manifests/{image.tag}"
    try:
        manifest, told = _manifest(url)
    except (HTTPError, URLError, HTTPException, OSError, ValueError) as error:
        raise Unreachable(f"{urllib.parse.urlsplit(url).netloc} gave no manifest of {image.tagged}: {error}") from error
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    if told not in (None, digest):
        raise Unreachable(f"the manifest of {image.tagged} has the digest {digest}, and the registry says {told}")
    return digest


def _manifest(url: str) -> tuple[bytes, str | None]:
    """The bytes of a manifest, and the digest that the registry tells of it."""
    headers = {"Accept": ", ".join(_KINDS)}
    try:
        return _got(url, headers)
    except HTTPError as error:
        if error.code != 401:
            raise
        challenge = error.headers.get("WWW-Authenticate", "")
    # Anybody may read public images, but has to fetch a token for it first.
    parts = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = parts.pop("realm", "")
    if not challenge.startswith("Bearer ") or not realm.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError("it asks for a login")
    body, _ = _got(f"{realm}?{urllib.parse.urlencode(parts)}", {})
    answer: Any = json.loads(body)
    token = answer.get("token") or answer.get("access_token")
    return _got(url, {**headers, "Authorization": f"Bearer {token}"})


def _got(url: str, headers: dict[str, str]) -> tuple[bytes, str | None]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        body = answer.read(_LARGEST + 1)
        if len(body) > _LARGEST:
            raise ValueError(f"its answer has more than {_LARGEST} bytes")
        kind, told = answer.headers.get_content_type(), answer.headers.get("Docker-Content-Digest")
    if "Accept" in headers and kind not in _KINDS:
        raise ValueError(f"its answer is {kind}, and no manifest")
    return body, told


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell which images are held by their tags alone")
    parser.add_argument("--registry", metavar="URL", help="ask this registry for every image, such as a mirror")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder of the repository")
    options = parser.parse_args(arguments)
    texts = {file: (options.root / file).read_text("utf-8") for file in FILES}
    if options.check:
        loose = {image.tagged: file for file, text in texts.items() for image in images_in(text) if not image.digest}
        for tagged, file in loose.items():
            sys.stderr.write(f"{file}: {tagged} is held by its tag alone; make lock-images adds the digest\n")
        return 1 if loose else 0
    try:
        digest_of = asked_for(options.registry)
        locked = {file: with_digests(text, digest_of) for file, text in texts.items()}
    except Unreachable as error:
        sys.stderr.write(f"no image is locked: {error}\n")
        return _UNREACHABLE
    for file, text in locked.items():
        (options.root / file).write_text(text, "utf-8")
        for image in images_in(text):
            sys.stdout.write(f"{file}: {image.tagged}@{image.digest}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
