"""Publishing: a version appears as a whole or not at all, and loading it gives back what was published."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import flows
from flows import anomaly
from model_store import (
    CalibrationEvidence,
    ModelRefused,
    Publication,
    Published,
    Report,
    Store,
    StoreError,
    half_dtype,
    publish,
    published_before,
    recalibrate,
    round_weights,
)
from model_store.manifest import Dtype
from tests.conftest import Digits

Publish = Callable[..., Published]


def test_versions_count_up_and_the_default_alias_points_at_the_newest(publish_digits: Publish, store: Store) -> None:
    first, second = publish_digits(), publish_digits(seed=1)
    assert (first.version, second.version) == (1, 2)
    assert store.versions("digits") == [1, 2]
    assert store.aliases("digits") == {"default": 2}


def test_the_loaded_flow_answers_as_the_published_one(publish_digits: Publish, store: Store, digits: Digits) -> None:
    publish_digits()
    torch.manual_seed(0)
    flow = flows.nice((28, 28), hidden=[24], couplings=2)
    flow.initialise(flow.to_continuous(digits.train))
    loaded = store.load("digits", 1)
    x = flow.to_continuous(digits.test)
    assert torch.equal(loaded.flow.log_prob(x), flow.log_prob(x))
    assert loaded.reference == "digits@1"
    assert loaded.manifest.provenance == {"data": "mnist", "seed": 0}
    assert loaded.read("README.md") == b"# digits\n"
    assert loaded.calibration is None
    assert not any(p.requires_grad for p in loaded.flow.parameters())


def test_a_damaged_version_without_weights_is_not_what_was_published_before(tmp_path: Path) -> None:
    given = {"hidden": [8], "couplings": 2, "image": False}
    flow = flows.build("nice", (2,), given)
    for _ in range(2):
        publish(
            tmp_path,
            "points",
            Publication(flow=flow, architecture="nice", arguments=given, golden_items=torch.randn(4, 2)),
        )
    path = tmp_path / "points/2/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["model.safetensors"]
    path.write_text(json.dumps(manifest))
    found = published_before(tmp_path, "points", flow, "float32", "nice", given)
    assert found is not None
    assert found.version == 1


@pytest.mark.parametrize("file", ["manifest.sig", "manifest.json"])
def test_a_version_that_lists_a_file_of_the_store_is_refused(publish_digits: Publish, store: Store, file: str) -> None:
    path = publish_digits().path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][file] = manifest["files"]["README.md"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelRefused, match=f"{file} cannot be a file of a model"):
        store.load("digits", 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_16_bits_halve_the_file_and_serve_what_was_measured(
    publish_digits: Publish, store: Store, digits: Digits, dtype: Dtype
) -> None:
    full, half = publish_digits(), publish_digits(weights_dtype=dtype)
    size = {p.version: (p.path / "model.safetensors").stat().st_size for p in (full, half)}
    assert size[half.version] < 0.6 * size[full.version]
    measured = store.load("digits", 1).flow
    round_weights(measured, dtype)
    x = measured.to_continuous(digits.test)
    assert torch.equal(store.load("digits", 2).flow.log_prob(x), measured.log_prob(x))


@pytest.mark.parametrize(
    ("largest", "smallest", "wanted"), [(3.0, 1e-3, "float16"), (1e5, 1e-3, "bfloat16"), (1e-7, 1e-9, "bfloat16")]
)
def test_matrices_are_halved_in_the_dtype_that_changes_them_least(largest: float, smallest: float, wanted: str) -> None:
    flow = flows.nice((6,), hidden=[4], couplings=2)
    matrix = next(each for each in flow.parameters() if each.ndim == 2)
    with torch.no_grad():
        matrix.copy_(torch.linspace(smallest, largest, matrix.numel()).view_as(matrix))
    assert half_dtype([flow]) == wanted
    assert half_dtype([flows.nice((6,), hidden=[4], couplings=2), flow]) == wanted


def test_a_calibration_is_published_with_the_model(publish_digits: Publish, store: Store, digits: Digits) -> None:
    publish_digits()
    flow = store.load("digits", 1).flow
    held_out = anomaly.statistics(flow, flow.to_continuous(digits.test))
    calibration = anomaly.Calibration.of(anomaly.tests_of(flow), held_out[:100], held_out[100:])
    publish_digits(calibration=CalibrationEvidence(calibration=calibration, source="400 held-out digits"))
    loaded = store.load("digits", 2)
    assert loaded.calibration is not None
    assert torch.equal(loaded.calibration.judge(held_out).p_value, calibration.judge(held_out).p_value)
    assert loaded.manifest.calibration is not None
    assert loaded.manifest.calibration.source == "400 held-out digits"
    assert (loaded.manifest.calibration.fit, loaded.manifest.calibration.reference) == (100, 400)


def test_weights_of_other_arguments_are_not_the_same_flow(tmp_path: Path) -> None:
    """A lattice flow that is flat within grey levels has the weights of one that is smooth."""
    smooth = flows.lattice((8, 8), width=4, blocks=1, joint=True)
    given = {"width": 4, "blocks": 1, "joint": True}
    publish(
        tmp_path,
        "small",
        Publication(
            flow=smooth,
            architecture="lattice",
            arguments=given,
            golden_items=torch.zeros(4, 8, 8, dtype=torch.uint8),
            provenance={},
            report=Report(quality={"test": {"log_likelihood": 1.0}}, card="# small\n", pictures={}),
        ),
    )
    found = published_before(tmp_path, "small", smooth, "float32", "lattice", given | {"components": 8})
    assert found is not None
    assert (found.version, found.new) == (1, False)
    assert published_before(tmp_path, "small", smooth, "float32", "lattice", given | {"stepped": True}) is None


def test_a_recalibrated_version_differs_in_nothing_else(publish_digits: Publish, store: Store, digits: Digits) -> None:
    publish_digits(weights_dtype="bfloat16")
    model = store.load("digits", 1)
    found = anomaly.statistics(model.flow, model.flow.to_continuous(digits.test))
    calibration = anomaly.Calibration.of(anomaly.tests_of(model.flow), found[:200], found[200:])
    detection = {"noise": {"auroc": 0.75}}
    evidence = CalibrationEvidence(calibration=calibration, source="other digits", detection=detection)
    published = recalibrate(store.root, model, evidence)
    assert (published.name, published.version) == ("digits", 2)
    assert store.aliases("digits")["default"] == 2
    renewed = store.load("digits", 2)
    assert renewed.calibration is not None
    assert torch.equal(renewed.calibration.judge(found).p_value, calibration.judge(found).p_value)
    note = renewed.manifest.calibration
    assert note is not None
    assert (note.source, note.fit, note.reference, note.detection) == ("other digits", 200, 300, detection)
    assert renewed.manifest.provenance == {**model.manifest.provenance, "weights_of": "digits@1"}
    for file in model.manifest.files:
        assert renewed.read(file) == model.read(file)
    assert store.load("digits", 2, calibrated=False).calibration is None


@pytest.mark.parametrize("name", ["", "Digits", "../digits", "a/b", ".hidden", "a b", "a@1", "x" * 65, "digits-"])
def test_text_that_cannot_name_a_model_is_refused(publish_digits: Publish, tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a model"):
        publish_digits(name=name)
    assert not (tmp_path / "store").exists()


def test_a_flow_that_is_not_its_own_inverse_is_not_published(
    publish_digits: Publish, tmp_path: Path, digits: Digits
) -> None:
    flow = flows.nice((28, 28), hidden=[24], couplings=2)
    flow.initialise(flow.to_continuous(digits.train))
    _, _, coupling, _, scaling = flow.transforms
    assert isinstance(scaling, flows.DiagonalScaling)
    assert isinstance(coupling, flows.AdditiveCoupling)
    assert isinstance(coupling.net, flows.MLP)
    last = coupling.net.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        scaling.log_scale.fill_(60.0)  # latents of 1e26, whose inverse float32 cannot represent
        last.weight.fill_(1e20)
    with pytest.raises(StoreError, match="not published"):
        publish(
            tmp_path / "store",
            "broken",
            Publication(
                flow=flow,
                architecture="nice",
                arguments={"hidden": [24], "couplings": 2},
                golden_items=digits.test[:2],
            ),
        )
    assert Store(tmp_path / "store").names() == []


def test_a_publication_that_fails_half_way_leaves_nothing_behind(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_digits()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("model_store.writing.replace_durably", full_disk)
    with pytest.raises(OSError, match="No space"):
        publish_digits()
    assert store.versions("digits") == [1]
    assert sorted(p.name for p in (store.root / "digits").iterdir()) == ["1", "aliases.json"]


def test_a_version_without_its_manifest_is_not_listed_and_its_number_not_reused(
    publish_digits: Publish, store: Store
) -> None:
    (publish_digits().path / "manifest.json").unlink()
    assert store.names() == []
    assert publish_digits().version == 2
    assert store.versions("digits") == [2]


def test_publishers_at_the_same_time_get_different_versions(publish_digits: Publish, store: Store) -> None:
    published: list[int] = []
    threads = [threading.Thread(target=lambda: published.append(publish_digits().version)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(published) == [1, 2, 3, 4]
    for version in published:
        store.load("digits", version)


def test_the_manifest_lists_every_file_with_its_hash(publish_digits: Publish) -> None:
    published = publish_digits()
    manifest = json.loads((published.path / "manifest.json").read_text())
    assert set(manifest["files"]) == {p.name for p in published.path.iterdir()} - {"manifest.json"}
    assert manifest["architecture"] == {"name": "nice", "arguments": {"hidden": [24], "couplings": 2}}
    assert manifest["item"] == {"shape": [28, 28], "dtype": "uint8"}
