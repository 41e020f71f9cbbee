"""Which devices a service computes on, from its settings and what the machine has."""

from __future__ import annotations

import logging
import socket

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from service.cli import main
from service.device_names import NoSuchDevice
from service.devices import Device, devices_of
from service.gpus import Gpus
from service.settings import Settings

TWO = Gpus(("NVIDIA A", "NVIDIA A"))
NONE = Gpus(reason="no NVIDIA driver is there")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def places(gpus: Gpus, machine: pytest.MonkeyPatch, **settings: str) -> list[str]:
    machine.setattr("service.devices.find_gpus", lambda: gpus)
    return [device.place for device in devices_of(Settings(**settings))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"device": "cpu"}, ["cpu"]),
        ({"device": "cuda"}, ["cuda:0", "cuda:1"]),
        ({"device": "auto"}, ["cuda:0", "cuda:1"]),
        ({"device": "cuda:1"}, ["cuda:1"]),
        ({"devices": "cuda:1,cuda:0"}, ["cuda:1", "cuda:0"]),
        ({"devices": "cuda:1 , cuda:1"}, ["cuda:1", "cuda:1"]),
        ({"devices": "cpu,cpu,cpu", "device": "cuda"}, ["cpu", "cpu", "cpu"]),
    ],
)
def test_a_machine_with_two_gpus(
    settings: dict[str, str], expected: list[str], machine: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sluice")
    assert places(TWO, machine, **settings) == expected
    (line,) = caplog.messages
    assert line.startswith("computing on ")
    assert ("NVIDIA A" in line) == (expected[0] != "cpu")


def test_auto_falls_back_to_the_cpu_and_says_why(machine: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert places(NONE, machine, device="auto") == ["cpu"]
    assert caplog.messages == ["computing on the CPU: no NVIDIA driver is there"]
    assert caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize(
    ("settings", "gpus", "message"),
    [
        ({"device": "cuda"}, NONE, "SLUICE_DEVICE=cuda: no NVIDIA driver is there. Devices of this machine: cpu"),
        ({"device": "cuda:0"}, NONE, "SLUICE_DEVICE=cuda:0: no NVIDIA driver is there. Devices of this machine: cpu"),
        (
            {"device": "cuda:2"},
            TWO,
            "SLUICE_DEVICE=cuda:2: there is no cuda:2. "
            "Devices of this machine: cuda:0 (NVIDIA A), cuda:1 (NVIDIA A), cpu",
        ),
        (
            {"devices": "cuda:0,cuda:7,cuda:7"},
            TWO,
            "SLUICE_DEVICES=cuda:0,cuda:7,cuda:7: there is no cuda:7. "
            "Devices of this machine: cuda:0 (NVIDIA A), cuda:1 (NVIDIA A), cpu",
        ),
    ],
)
def test_a_device_that_is_not_there_is_an_error_that_says_what_is(
    settings: dict[str, str], gpus: Gpus, message: str, machine: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoSuchDevice) as refusal:
        places(gpus, machine, **settings)
    assert str(refusal.value) == message


def test_names_are_unlike_each_other(machine: pytest.MonkeyPatch) -> None:
    machine.setattr("service.devices.find_gpus", lambda: TWO)
    names = [device.name for device in devices_of(Settings(devices="cuda:0,cuda:1,cuda:0"))]
    assert names == ["cuda:0:0", "cuda:1", "cuda:0:1"]
    assert [device.name for device in devices_of(Settings(devices="cpu,cpu"))] == ["cpu:0", "cpu:1"]


def test_gpus_of_different_types_are_told(machine: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    places(Gpus(("NVIDIA A", "NVIDIA B")), machine, device="cuda")
    assert "different types" in caplog.text
    caplog.clear()
    places(Gpus(("NVIDIA A", "NVIDIA B")), machine, device="cuda:1")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("visible", "expected"), [(None, "1"), ("", "1"), ("3, 5", "5"), ("GPU-8f3a,GPU-77c0", "GPU-77c0")]
)
def test_a_device_process_sees_its_own_gpu_alone(
    visible: str | None, expected: str, machine: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        machine.setenv("CUDA_VISIBLE_DEVICES", visible)
    environment = Device("cuda:1", "cuda:1").environment()
    assert environment["CUDA_VISIBLE_DEVICES"] == expected
    assert environment["SLUICE_DEVICE"] == "cuda", "the first that it sees"
    assert "CUDA_VISIBLE_DEVICES" not in Device("cpu:1", "cpu").environment()


@pytest.mark.parametrize("device", ["abacus", "cuda:", "cuda:-1", "cuda:01", "cuda:1,cuda:2", "CPU"])
def test_what_names_no_device_is_refused(device: str) -> None:
    with pytest.raises(ValidationError, match=r"it must be auto, cpu, cuda \(all GPUs\) or one GPU such as cuda:1"):
        Settings(device=device)


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("cuda", "'cuda' cannot be listed"),
        ("auto", "'auto' cannot be listed"),
        ("cpu,", "'' cannot be listed"),
        ("cpu,cuda:0", "devices of one kind"),
    ],
)
def test_what_cannot_be_listed_is_refused(devices: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings(devices=devices)


def test_an_option_for_one_device_wins_over_a_list_in_the_environment(machine: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []
    machine.setenv("SLUICE_DEVICES", "cpu,cpu")

    def supervise(settings: Settings, listener: socket.socket, _: socket.socket | None) -> int:
        listener.close()
        seen.append(settings)
        return 0

    machine.setattr("service.supervisor.supervise", supervise)
    for arguments in (["--device", "cpu"], ["--devices", "cpu"], []):
        assert CliRunner().invoke(main, ["serve", "--port", "0", *arguments]).exit_code == 0
    assert [(each.device, each.devices) for each in seen] == [("cpu", None), ("auto", "cpu"), ("auto", "cpu,cpu")]
    both = CliRunner().invoke(main, ["serve", "--device", "cpu", "--devices", "cpu"])
    assert both.exit_code == 2


def test_a_wrong_variable_is_an_error_that_names_it(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("SLUICE_DEVICES", "cpu,gpu")
    failed = CliRunner().invoke(main, ["serve"])
    assert failed.exit_code == 1
    assert "SLUICE_DEVICES: 'gpu' cannot be listed" in failed.output


def test_a_service_whose_device_is_missing_does_not_start(
    machine: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine.setattr("service.devices.find_gpus", lambda: NONE)
    assert CliRunner().invoke(main, ["serve", "--port", "0", "--device", "cuda"]).exit_code == 1
    assert caplog.messages[-1] == "SLUICE_DEVICE=cuda: no NVIDIA driver is there. Devices of this machine: cpu"
    assert caplog.records[-1].levelname == "CRITICAL"
