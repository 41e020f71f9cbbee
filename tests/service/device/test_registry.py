"""One version of every name: replaced, refused, unloaded, and still there for requests that are under way."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from model_store import LoadedModel, Store
from service.device import registry
from service.device.registry import Registry
from service.protocol.errors import Unavailable, Unknown
from service.protocol.model_info import RefusedInfo
from tests.service.helpers import POINTS, publish_small

GRACE = 60.0


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(registry, "time", clock)
    return clock


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[LoadedModel]:
    root = tmp_path_factory.mktemp("versions")
    for seed in range(3):
        publish_small(root, "points", POINTS, seed)
    return [Store(root).load("points", version, torch.device("cpu")) for version in (1, 2, 3)]


def test_a_replaced_version_can_be_asked_for_during_its_grace(versions: list[LoadedModel], clock: Clock) -> None:
    table = Registry(None, GRACE)
    table.serve(versions[0], ("default",))
    table.serve(versions[1], ("default",))
    assert [info.reference for info in table.told().models] == ["points@2"]
    assert table.get("points@2").model is versions[1]
    clock.now += GRACE - 1
    assert table.get("points@1").model is versions[0]
    clock.now += 2
    with pytest.raises(Unavailable):
        table.get("points@1")


def test_what_was_replaced_is_let_go_after_its_grace(versions: list[LoadedModel], clock: Clock) -> None:
    table = Registry(None, GRACE)
    model = replace(versions[0])
    seen = weakref.ref(model)
    table.serve(model, ())
    del model
    table.serve(versions[1], ())
    table.forget_retired()
    assert seen() is not None
    clock.now += GRACE + 1
    table.forget_retired()
    gc.collect()
    assert seen() is None, "its weights would stay in memory"


def test_an_unloaded_version_too(versions: list[LoadedModel], clock: Clock) -> None:
    table = Registry(None, GRACE)
    table.serve(versions[0], ())
    table.unload("points")
    assert table.told().models == ()
    assert table.get("points@1").model is versions[0]
    clock.now += GRACE + 1
    with pytest.raises(Unavailable):
        table.get("points@1")
    with pytest.raises(Unknown):
        table.unload("points")


def test_a_version_that_serves_again_is_no_longer_retired(versions: list[LoadedModel], clock: Clock) -> None:
    table = Registry(None, GRACE)
    for version in (versions[0], versions[1], versions[0]):
        table.serve(version, ())
    clock.now += 10 * GRACE
    table.serve(versions[2], ())
    assert table.get("points@1").model is versions[0], "retired just now, not when it was replaced the first time"


def test_a_refusal_leaves_what_serves_and_is_forgotten_by_a_good_version(
    versions: list[LoadedModel], clock: Clock
) -> None:
    table = Registry(None, GRACE)
    table.serve(versions[0], ("default",))
    refusal = RefusedInfo("points", 2, "broken", ("default",))
    table.refuse(refusal)
    told = table.told()
    assert ([info.version for info in told.models], told.refused) == ([1], (refusal,))
    table.serve(versions[2], ("default",))
    assert table.told().refused == ()
    other = Registry(None, GRACE)
    other.refuse(refusal)
    assert other.told().models == ()
    assert other.refused == [refusal]


def test_the_settings_default_wins_over_the_stores(versions: list[LoadedModel]) -> None:
    table = Registry("points@2", GRACE)
    table.store_default = "digits"
    assert table.default == "points@2"
    plain = Registry(None, GRACE)
    assert plain.default is None
    plain.store_default = "digits"
    assert plain.default == "digits"
    assert plain.told().default is None, "there is nothing to serve"
    plain.serve(versions[0], ())
    assert plain.told().default == "digits"
