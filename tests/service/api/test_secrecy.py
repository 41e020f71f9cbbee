"""A key stands in no log line, answer or metric, and no address in a request is ever opened."""

from __future__ import annotations

import io
import logging
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service import keys
from service.logs import JsonLines
from tests.service.helpers import JSON, NPY, npy, ordinary, running, until

pytestmark = pytest.mark.anyio


async def test_a_key_stands_in_no_log_answer_or_metric(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "keys.json"
    good = keys.create(file, "line", ["infer", "read", "metrics", "admin"])
    wrong, gone = good[:-4] + "AAAA", keys.create(file, "gone", ["infer"])
    keys.revoke(file, "gone")
    (tmp_path / "token").write_text(token := "an admin token of 40 characters at least")
    told = []
    settings: dict[str, Any] = {"keys_file": file, "admin_token_file": tmp_path / "token", "access_log": True}
    async with running(store, drift_dir=tmp_path / "drift", **settings) as service:
        for key in (good, wrong, gone, token):
            for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
                for method, path in [
                    ("GET", "/metrics"),
                    ("GET", f"/models/{key}"),
                    ("POST", f"/score?model={key}"),
                    ("POST", f"/sample?seed=1&n={key}"),
                    ("POST", "/v2/repository/models/nobody/load"),
                    ("GET", "/models/digits/drift"),
                ]:
                    answer = await service.http.request(method, path, headers={**JSON, **headers})
                    asked = key in path  # an answer may repeat what its own client asked for; others never see it
                    told += [] if asked else [answer.text, str(answer.headers)]

        async def fail(*_: object) -> None:
            raise ArithmeticError("at fault")

        monkeypatch.setattr(service.device, "ask", fail)
        assert (await service.http.post("/sample", headers={"x-api-key": good})).status_code == 500
        told.append((await service.http.get("/metrics", headers={"x-api-key": good})).text)
    assert "ArithmeticError" in caplog.text
    line = JsonLines("api")
    told += [line.format(record) for record in caplog.records if not record.name.startswith(("httpx", "sluice.access"))]
    for key in (good, wrong, gone, token):
        assert key not in "\n".join(told)
        assert key.split("_", 2)[-1] not in "\n".join(told)


async def test_files_of_drift_and_of_live_statistics_hold_neither_keys_nor_items(
    calibrated_store: Path, tmp_path: Path
) -> None:
    secret = keys.create(tmp_path / "keys.json", "line", ["infer"])
    kept: dict[str, Any] = {"drift_dir": tmp_path / "drift", "live_statistics": "digits, points"}
    async with running(calibrated_store, keys_file=tmp_path / "keys.json", **kept) as service:
        flows = {name: service.model(name).flow for name in ("digits", "points")}
        items = {name: ordinary(flow, 128, seed=5) for name, flow in flows.items()}
        for name, each in items.items():
            answer = await service.http.post(
                f"/score?model={name}", content=npy(each), headers={**NPY, "x-api-key": secret}
            )
            assert answer.status_code == 200, answer.text
        await until(lambda: not service.loop.drift.waits)
    files = [path.read_bytes() for path in (tmp_path / "drift").rglob("*") if path.is_file()]
    assert len(files) == 3
    for data in files:
        assert not any(item.tobytes() in data for each in items.values() for item in each)
        assert not any(part.encode() in data for part in (secret, secret.split("_", 2)[-1]))


async def test_no_address_in_a_request_is_opened(store: Path) -> None:
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0.2)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/picture.png"
        async with running(store) as service:
            for body in (
                {"items": [address]},
                {"items": address},
                {"items": [{"url": address}]},
                {"items": [f"file://{store}/digits/1/manifest.json"]},
                {"image": address, "mask": address},
            ):
                for path in ("/score", "/encode", "/inpaint", "/v2/models/digits/infer"):
                    answer = await service.http.post(path, json=body)
                    assert 400 <= answer.status_code < 500, (path, body, answer.text)
            svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}"/></svg>'.encode()
            for data, kind in ((svg, "image/svg+xml"), (svg, "image/png"), (picture_with(address), "image/png")):
                await service.http.post("/score", content=data, headers={"content-type": kind})
            answer = await service.http.post("/sample", headers={"x-forwarded-host": address, "referer": address})
            assert answer.status_code == 200
        with pytest.raises(TimeoutError):
            trap.accept()


def picture_with(address: str) -> bytes:
    """A PNG whose text names an address."""
    text = PngInfo()
    text.add_text("URL", address)
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, "PNG", pnginfo=text)
    return stream.getvalue()
