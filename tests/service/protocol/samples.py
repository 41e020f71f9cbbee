"""Messages and models for tests of the protocol."""

from __future__ import annotations

from typing import Any

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
