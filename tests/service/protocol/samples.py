"""Messages, models and a client for tests of the protocol."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.protocol import messages as m
from service.protocol.client import DeviceClient
from service.protocol.model_info import ModelInfo


def model_info(name: str = "digits", version: int = 1, aliases: tuple[str, ...] = (), **facts: Any) -> ModelInfo:
    """Facts of an image model, as a device tells them; ``facts`` replace some."""
    known: dict[str, Any] = {
        "item_shape": (8, 8),
        "item_dtype": "uint8",
        "latent_shape": (64,),
        "architecture": "nice",
        "arguments": {"couplings": 4, "hidden": [64, 64], "image": True},
        "prior": "logistic",
        "parameters": 1234,
        "weights_dtype": "float32",
        "weights_sha256": "0" * 64,
        "precision": "float32",
        "fallback": None,
        "device": "cpu",
        "bfloat16": None,
        "quality": {"test": {"log_likelihood": 1.5}},
        "provenance": {"seed": 0, "who": "a test", "rate": 0.5},
        "published": "2026-01-01T00:00:00Z",
        "files": ("README.md",),
        "tests": (),
        "calibration": None,
    }
    return ModelInfo(name=name, version=version, aliases=aliases, **{**known, **facts})


MODELS = m.Models((model_info(),), (), (), "digits", False)
"""`digits@1`, and nothing else to come."""


class Client(DeviceClient):
    """Keeps what it would send; the test says what it hears."""

    def __init__(self, bound: int = 1000, name: str = "device", models: m.Models | None = None) -> None:
        super().__init__(bound, name)
        self._models = models or MODELS
        self.sent: list[m.Up] = []

    async def start(self) -> None:
        self._receive([self._models])

    async def stop(self) -> None:
        self._lost(final=True)

    def _send(self, messages: list[m.Up]) -> None:
        self.sent += messages

    def hear(self, *messages: m.Down) -> None:
        self._receive(messages)

    def lose(self) -> None:
        self._lost()


def score(number: int, count: int = 2) -> m.Submit:
    return m.Submit(number, "digits@1", "score", 0.0, {"items": np.zeros((count, 8, 8), np.uint8)})
