"""The device's loop, spoken to in messages by several api processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store import LoadedModel, Store
from service.device.loop import DeviceLoop
from service.device.progress import Progress
from service.protocol import messages as m
from tests.service.device.loops import Wire, climb, looping, score, until


@pytest.fixture(scope="module")
def digits(store: Path) -> LoadedModel:
    return Store(store).load("digits", 1, torch.device("cpu"))


@pytest.fixture
def running(digits: LoadedModel) -> Iterator[tuple[DeviceLoop, Wire]]:
    with looping(digits, max_steps=10**6) as started:
        yield started


def test_each_api_process_hears_of_the_models_and_gets_its_own_answers(running: tuple[DeviceLoop, Wire]) -> None:
    _, wire = running
    for peer in ("a", "b"):
        wire.say(peer, m.Hello())
        assert [model.reference for model in wire.heard(peer, m.Models).models] == ["digits@1"]
    wire.say("a", score(1, 3))
    wire.say("b", score(1, 2))
    wire.say("a", score(2))
    wire.heard("a", m.Results, lambda results: 2 in results.ids)
    wire.heard("b", m.Results)
    for peer, rows in (("a", 4), ("b", 2)):
        own = [each for to, each in wire.sent if to == peer and isinstance(each, m.Results)]
        assert sum(len(results.arrays["log_likelihood"]) for results in own) == rows


def test_what_a_process_had_asked_for_leaves_with_it(running: tuple[DeviceLoop, Wire]) -> None:
    loop, wire = running
    wire.say("dies", climb(1))
    wire.say("dies", climb(2, watch=True))
    wire.say("dies", climb(3, task="kept"))
    wire.heard("dies", m.TaskIs)
    until(lambda: loop.account.jobs == 3)
    wire.say("supervisor", m.Gone("dies"))
    until(lambda: loop.account.jobs == 1)
    wire.say("lives", m.Follow(1, "kept", "state"))
    assert wire.heard("lives", m.TaskIs).about.state in ("queued", "running"), "a task goes on without its process"
    wire.say("lives", score(2))
    wire.heard("lives", m.Results)
    wire.say("lives", m.StopTask(3, "kept"))
    until(lambda: loop.account.waiting == 0)


def test_what_comes_of_a_process_after_its_death_is_not_computed(running: tuple[DeviceLoop, Wire]) -> None:
    loop, wire = running
    wire.say("supervisor", m.Gone("dead"))
    wire.say("dead", climb(1))
    wire.say("supervisor", m.Ping(7))
    wire.heard("supervisor", m.Told, lambda told: told.id == 7)
    assert loop.account.jobs == 0
    assert loop.requests.peers == []
    wire.say("dead", m.Hello())  # a new process has the number of the dead one
    wire.say("dead", score(2))
    wire.heard("dead", m.Results)


def test_a_process_that_dies_twice_or_never_lived_is_no_error(running: tuple[DeviceLoop, Wire]) -> None:
    _, wire = running
    for _ in range(2):
        wire.say("supervisor", m.Gone("nobody"))
    wire.say("a", m.Ping(1))
    assert wire.heard("a", m.Told).id == 1


def test_work_that_leaves_without_an_answer_is_reported_to_all(running: tuple[DeviceLoop, Wire]) -> None:
    loop, wire = running
    wire.say("a", climb(1))
    assert wire.heard("a", m.Report, lambda report: report.seen == 1).waiting > 10**6
    wire.say("b", m.Ping(1))
    assert wire.heard("b", m.Report).waiting > 10**6
    wire.say("a", m.Cancel(1))
    until(lambda: loop.account.waiting == 0)
    for peer in ("a", "b"):
        assert wire.heard(peer, m.Report, lambda report: report.waiting == 0).waiting == 0


@pytest.mark.parametrize("message", [m.Cancel(9), m.Cancel(1)])
def test_a_cancel_of_what_is_over_changes_nothing(running: tuple[DeviceLoop, Wire], message: m.Cancel) -> None:
    _, wire = running
    wire.say("a", score(1))
    wire.heard("a", m.Results)
    wire.say("a", message)
    wire.say("a", score(2))
    wire.heard("a", m.Results, lambda results: results.ids == [2])


def test_what_cannot_be_done_fails_by_its_number(running: tuple[DeviceLoop, Wire]) -> None:
    _, wire = running
    asked: list[tuple[m.Up, str]] = [
        (m.Submit(1, "digits@9", "sample", time.monotonic() + 60), "unavailable"),
        (m.Follow(2, "nobody", "state"), "unknown"),
        (m.StopTask(3, "nobody"), "unknown"),
        (m.Load(4, "nobody"), "unknown"),
        (m.Unload(5, "nobody"), "unknown"),
        (m.Read(6, "digits@1", "../../secret"), "unknown"),
        (score(7, seconds=-1), "deadline"),
    ]
    for message, kind in asked:
        wire.say("a", message)
        number: int = getattr(message, "id")  # noqa: B009
        assert wire.heard("a", m.Failed, lambda failed, number=number: failed.id == number).kind == kind  # type: ignore[misc]


def test_a_message_that_breaks_in_an_unforeseen_way_fails_alone(running: tuple[DeviceLoop, Wire]) -> None:
    _, wire = running
    broken = m.Submit(1, "digits@1", "score", time.monotonic() + 60, arrays={"other": np.zeros(3)})
    wire.say("a", broken)
    assert wire.heard("a", m.Failed).kind == "unexpected"
    wire.say("a", score(2))
    wire.heard("a", m.Results)


def test_a_watched_inpainting_sends_snapshots_and_then_its_end(running: tuple[DeviceLoop, Wire]) -> None:
    _, wire = running
    wire.say("a", climb(1, steps=96, watch=True))
    done = wire.heard("a", m.Completed)
    steps = [each.step for _, each in wire.sent if isinstance(each, m.Snapshot)]
    assert steps == sorted(set(steps))
    assert 0 < len(steps) <= 48
    assert done.about.state == "done"
    assert done.stride == 2
    assert done.history["log_likelihood"].shape == (48, 2)


def test_stopping_fails_what_is_in_flight(digits: LoadedModel) -> None:
    with looping(digits, max_steps=10**6) as (loop, wire):
        wire.say("a", climb(1))
        until(lambda: loop.account.jobs == 1)
    assert wire.heard("a", m.Failed).kind == "unavailable"


def test_old_tasks_and_models_are_let_go_of_while_pings_keep_coming(
    digits: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.device.loop._IDLE", 0.2)
    with looping(digits, task_kept=0.0, deadline=0.1) as (loop, wire):
        wire.say("a", climb(1, task="old", steps=1))
        wire.heard("a", m.TaskIs)
        until(lambda: loop.account.jobs == 0)
        wire.say("a", m.Unload(2, "digits"))
        wire.heard("a", m.Told)

        def forgotten() -> bool:
            wire.say("keeper", m.Ping(1))
            return not loop.requests._tasks._tasks and not loop.models.registry._retired

        until(forgotten)


def test_an_inpainting_whose_answer_cannot_be_made_is_told_so(
    running: tuple[DeviceLoop, Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    def history(_: Progress) -> m.Arrays:
        raise MemoryError

    monkeypatch.setattr(Progress, "history", history)
    _, wire = running
    wire.say("a", climb(1, steps=2, watch=True))
    assert "memory" in wire.heard("a", m.Failed).detail
