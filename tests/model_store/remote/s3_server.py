"""An S3 server of moto's in this process, behind a door at which faults are injected."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BUCKET = "models"
URL = f"s3://{BUCKET}/store"

Fault = Callable[[dict[str, Any]], "Answer | None"]
"""Looks at a request's WSGI environment; None lets it through."""


class Answer:
    """What a fault does in place of the server."""

    def __init__(self, status: str = "", wait: float = 0.0, keep: float = 1.0) -> None:
        self.status, self.wait, self.keep = status, wait, keep
        """An error's status line; seconds before anything happens; the share of the body that gets through."""


class FaultyDoor:
    """A WSGI application around another. ``faults`` are asked for each request, in order; ``seen`` counts requests."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []

    def __call__(self, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.seen.append((environment["REQUEST_METHOD"], environment["PATH_INFO"]))
        answer = next((found for fault in list(self.faults) if (found := fault(environment)) is not None), None)
        if answer is None:
            return list(self._application(environment, start_response))
        time.sleep(answer.wait)
        if answer.status:
            start_response(answer.status, [("content-length", "0")])
            return []
        body = b"".join(self._application(environment, start_response))
        return [body[: int(len(body) * answer.keep)]]  # shorter than its content-length says


def first(count: int, answer: Answer, method: str = "GET", path: str = "") -> Fault:
    """A fault of the first so many requests of a method whose path holds this text."""
    left = [count]

    def fault(environment: dict[str, Any]) -> Answer | None:
        if environment["REQUEST_METHOD"] != method or path not in environment["PATH_INFO"] or not left[0]:
            return None
        left[0] -= 1
        return answer

    return fault


@contextmanager
def s3_server() -> Iterator[tuple[str, FaultyDoor]]:
    """The address of a server without buckets, and its door."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    door = FaultyDoor(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, door, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", door
    finally:
        server.shutdown()
        thread.join()


class Bucket:
    """A bucket that holds a copy of the published directory, and the door before it."""

    def __init__(self, address: str, door: FaultyDoor) -> None:
        self.door = door
        self.client: Any = _boto3().client("s3", endpoint_url=address)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"store/{key}", Body=data)

    def get(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=BUCKET, Key=f"store/{key}")["Body"].read()
        return body

    def listed(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [each["Key"].removeprefix("store/") for each in found]

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=f"store/{key}")


def _boto3() -> Any:
    import boto3

    return boto3


@contextmanager
def bucket_of(address: str, door: FaultyDoor, published: Path, patch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket with what a directory holds; the environment says where it is, and no attempt waits long."""
    patch.setenv("AWS_ACCESS_KEY_ID", "key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("AWS_ENDPOINT_URL", address)
    patch.setattr("model_store.remote.objects._FIRST_PAUSE", 0.001)
    found = Bucket(address, door)
    found.client.create_bucket(Bucket=BUCKET)
    for path in published.rglob("*"):
        if path.is_file():
            found.put(str(path.relative_to(published)), path.read_bytes())
    door.seen.clear()
    yield found
    door.faults.clear()
    for key in found.listed():
        found.delete(key)
    found.client.delete_bucket(Bucket=BUCKET)
