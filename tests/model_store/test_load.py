"""Loading: a version with any fault is refused by name with the reason, and nothing in it is executed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from model_store import ModelRefused, Published, Store, selftest
from model_store.files import LARGEST_JSON

Publish = Callable[..., Published]


def edit_manifest(version: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((version / "manifest.json").read_text())
    change(manifest)
    (version / "manifest.json").write_text(json.dumps(manifest))


def rewrite(version: Path, file: str, data: bytes) -> None:
    """Replace a file and make the manifest's hash and size agree, as an attacker would."""
    (version / file).write_bytes(data)
    edit_manifest(
        version,
        lambda m: m["files"].__setitem__(file, {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}),
    )


def rewrite_tensors(version: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = safetensors.torch.load((version / "model.safetensors").read_bytes())
    change(tensors)
    rewrite(version, "model.safetensors", safetensors.torch.save(tensors))


def refusal(store: Store) -> str:
    with pytest.raises(ModelRefused) as caught:
        store.load("digits", 1)
    assert (caught.value.name, caught.value.version) == ("digits", 1)
    assert str(store.root) not in str(caught.value), "a refusal must not contain paths"
    return caught.value.reason


@pytest.mark.parametrize("file", ["model.safetensors", "golden.safetensors", "README.md", "samples.png"])
def test_a_flipped_byte_is_refused(publish_digits: Publish, store: Store, file: str) -> None:
    path = publish_digits().path / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert refusal(store) == f"the sha256 of {file} is not the manifest's"


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_truncated_or_grown_file_is_refused(publish_digits: Publish, store: Store, cut: int) -> None:
    path = publish_digits().path / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-cut] if cut else data + b"x")
    assert "bytes" in refusal(store)


def test_a_missing_file_is_refused(publish_digits: Publish, store: Store) -> None:
    (publish_digits().path / "model.safetensors").unlink()
    assert refusal(store) == "model.safetensors is missing or cannot be read"


def test_a_symbolic_link_is_not_followed(publish_digits: Publish, store: Store, tmp_path: Path) -> None:
    path = publish_digits().path / "model.safetensors"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert refusal(store) == "model.safetensors is missing or cannot be read"


def test_a_directory_that_leads_out_of_the_store_is_refused(
    publish_digits: Publish, store: Store, tmp_path: Path
) -> None:
    path = publish_digits().path
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    assert "leads out of the store" in refusal(store)


def test_a_pipe_instead_of_a_file_does_not_block(publish_digits: Publish, store: Store) -> None:
    path = publish_digits().path / "model.safetensors"
    path.unlink()
    os.mkfifo(path)
    assert refusal(store) == "model.safetensors is not a plain file"


def test_a_missing_tensor_is_refused(publish_digits: Publish, store: Store) -> None:
    rewrite_tensors(publish_digits().path, lambda t: t.pop("transforms.steps.1.mean"))
    assert refusal(store) == "tensor 'transforms.steps.1.mean' is missing"


def test_a_tensor_that_the_architecture_does_not_have_is_refused(publish_digits: Publish, store: Store) -> None:
    rewrite_tensors(publish_digits().path, lambda t: t.update(extra=torch.zeros(2)))
    assert "'extra' does not belong" in refusal(store)


def test_a_tensor_of_another_shape_is_refused(publish_digits: Publish, store: Store) -> None:
    rewrite_tensors(publish_digits().path, lambda t: t.update({"transforms.steps.1.mean": torch.zeros(785)}))
    assert "(785,)" in refusal(store)


def test_a_tensor_of_another_type_is_refused(publish_digits: Publish, store: Store) -> None:
    rewrite_tensors(
        publish_digits().path, lambda t: t.update({"transforms.steps.1.mean": torch.zeros(784, dtype=torch.float64)})
    )
    assert "float64" in refusal(store)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(publish_digits: Publish, store: Store, bad: float) -> None:
    rewrite_tensors(publish_digits().path, lambda t: t["transforms.steps.1.mean"].fill_(bad))
    assert "not finite" in refusal(store)


def test_weights_that_do_not_give_the_golden_log_likelihoods_are_refused(publish_digits: Publish, store: Store) -> None:
    rewrite_tensors(publish_digits().path, lambda t: t["transforms.steps.1.mean"].add_(0.01))
    assert "golden log-likelihood is off" in refusal(store)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a checkpoint was executed",))


@pytest.mark.parametrize("data", [pickle.dumps(Bomb()), b"", b"\xff" * 64, b"\x08" + b"\0" * 7 + b'{"a":1}x'])
def test_bytes_that_are_not_safetensors_are_refused_and_never_executed(
    publish_digits: Publish, store: Store, data: bytes
) -> None:
    rewrite(publish_digits().path, "model.safetensors", data)
    assert refusal(store) == "not a readable safetensors file"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m: m["architecture"].update(name="os.system"), "unknown architecture 'os.system'"),
        (lambda m: m["architecture"]["arguments"].update(hidden=[99_999]), "not ("),
        (lambda m: m["architecture"]["arguments"].update(shell="rm"), "no argument 'shell'"),
        (lambda m: m["architecture"]["arguments"].update(image=False), "do not fit this architecture"),
        (lambda m: m.update(format=2), "manifest: format"),
        (lambda m: m.update(surprise=1), "manifest: surprise"),
        (lambda m: m.pop("golden"), "manifest: golden"),
        (lambda m: m.update(version=7), "its manifest is that of digits@7"),
        (lambda m: m["item"].update(shape=[10**9, 10**9]), "item_shape"),
        (lambda m: m["item"].update(shape=[28.0, 28]), "manifest: item.shape"),
        (lambda m: m["golden"].update(count=3), "does not hold 3 items"),
        (lambda m: m["golden"].update(round_trip_tolerance=1e-30), "round trip"),
        (lambda m: m["files"].pop("model.safetensors"), "lists no model.safetensors"),
        (lambda m: m.update(calibration={"source": "", "statistics": [], "fit": 9, "reference": 9}), "lists no calib"),
        (lambda m: m["files"].update({"../../etc": {"sha256": "0" * 64, "size": 1}}), "manifest: files"),
        (lambda m: m["files"]["README.md"].update(size=10**15), "README.md has 9 bytes"),
    ],
)
def test_a_manifest_that_does_not_fit_its_files_is_refused(
    publish_digits: Publish, store: Store, change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    edit_manifest(publish_digits().path, change)
    assert complaint in refusal(store)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": NaN}', "\0", "[" * 100_000])
def test_a_document_that_is_not_a_manifest_is_refused(publish_digits: Publish, store: Store, text: str) -> None:
    (publish_digits().path / "manifest.json").write_text(text)
    assert refusal(store).startswith("manifest: ")


def test_a_manifest_that_is_too_large_is_not_read(publish_digits: Publish, store: Store) -> None:
    (publish_digits().path / "manifest.json").write_bytes(b" " * (LARGEST_JSON + 1))
    assert "larger than" in refusal(store)


def test_other_versions_of_a_damaged_model_still_load(publish_digits: Publish, store: Store) -> None:
    damaged = publish_digits()
    publish_digits()
    (damaged.path / "model.safetensors").write_bytes(b"")
    refusal(store)
    assert store.load("digits", 2).version == 2


def test_verify_reports_every_check(publish_digits: Publish, store: Store) -> None:
    publish_digits()
    report = "\n".join(store.verify("digits", 1))
    for word in ("sha256", "parameters", "round trip", "golden"):
        assert word in report


def test_a_model_is_checked_in_exact_float32_whatever_the_caller_computes_in(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_digits()
    rounded: list[bool] = []
    measure = selftest.measure

    def noted(*arguments: Any) -> selftest.Deviation:
        rounded.append(torch.backends.cudnn.allow_tf32)
        return measure(*arguments)

    monkeypatch.setattr(selftest, "measure", noted)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    store.load("digits", 1)
    assert rounded == [False]
    assert torch.backends.cudnn.allow_tf32, "the caller's own choice comes back"
