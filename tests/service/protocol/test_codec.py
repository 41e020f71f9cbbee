"""Every message survives the wire, and large arrays are not copied."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.protocol import codec
from service.protocol import messages as m
from service.protocol.codec import INLINE
from service.protocol.model_info import CalibrationInfo, RefusedInfo
from service.protocol.model_info import TestInfo as InfoOfTest
from tests.service.protocol.samples import model_info

DTYPES = ["u1", "?", "<i4", "<i8", "<f4", "<f8", ">f4"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda kind: hnp.arrays(kind, SHAPES))
LARGE = np.arange(INLINE // 8 + 1, dtype=np.float64)
STATE = m.TaskState("mine", "running", "digits@1", 2**63 - 1, "nice", 3, 200, 40, None)
INFO = model_info(
    aliases=("default", "best"),
    tests=(InfoOfTest("complexity", ("log_likelihood",)), InfoOfTest("layout", ())),
    calibration=CalibrationInfo("held-out", {"a": "b"}, 300, 1000, {"noise": {"auroc": 0.75}}),
    bfloat16={"worst": 0.5},
    fallback="because",
)

UP: list[m.Up] = [
    m.Hello(),
    m.Submit(1, "digits@1", "score", 12.5, {"items": np.zeros((2, 8, 8), np.uint8)}, seed=2**63 - 1),
    m.Submit(2, "points@3", "sample", 0.0, n=7, options=m.Options(temperature=0.5, fdr=0.1, scores=True)),
    m.Submit(
        3, "points@3", "inpaint", 1.0, {"items": LARGE, "hidden": LARGE > 3}, watch=True, task=m.TaskKey("a", "b")
    ),
    m.Cancel(4),
    m.Follow(5, "mine", "events"),
    m.StopTask(6, "mine"),
    m.Claim(6, "a", "cuda:1"),
    m.Load(7, "digits"),
    m.Unload(8, "digits"),
    m.Read(9, "digits@1", "README.md"),
    m.Stats(10),
    m.Drift(10, "digits@1"),
    m.Ping(11),
    m.Gone("api-1"),
]
DOWN: list[m.Down] = [
    m.Results([1, 2], [3, 4], {"log_likelihood": np.array([1.5, np.nan, -np.inf])}, {"group_p_value": np.ones(2)}),
    m.Results([1], [0], {}, {}),
    m.TaskIs(3, STATE, INFO),
    m.Completed(4, STATE, {"items": LARGE[None], "draw": np.arange(3)}, {"known": LARGE, "taken": np.arange(2)}, 5),
    m.Snapshot(5, 40, -1.25, None),
    m.Snapshot(6, 41, -1.25, np.zeros((16, 64, 64), np.uint8)),
    m.Told(7, b"\x00\xff"),
    m.Failed(8, "queue_full", "the queue is full", None, 9),
    m.Failed(9, "wrong_value", "ü", "items[3]"),
    m.Models((INFO, model_info()), (RefusedInfo("bad", 2, "broken", ("default",)),), ("next",), "digits", True),
    m.Report(2**40, None, 3),
    m.Report(0, 1e9, 0),
    m.Missed(),
]


def over_the_wire(encoder: codec.Codec[Any], decoder: codec.Codec[Any], messages: list[Any]) -> list[Any]:
    """What arrives: frames are bytes again, as ZeroMQ delivers them."""
    return decoder.decode([memoryview(bytes(frame)) for frame in encoder.encode(messages)])


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, msgspec.Struct):
        assert type(found) is type(expected)
        for field in expected.__struct_fields__:
            assert_same(getattr(found, field), getattr(expected, field))
    else:
        assert found == expected


@pytest.mark.parametrize("message", UP, ids=lambda message: type(message).__name__)
def test_what_an_api_process_says_arrives(message: m.Up) -> None:
    (found,) = over_the_wire(codec.of_api(), codec.of_device(), [message])
    assert_same(found, message)


@pytest.mark.parametrize("message", DOWN, ids=lambda message: type(message).__name__)
def test_what_the_device_says_arrives(message: m.Down) -> None:
    (found,) = over_the_wire(codec.of_device(), codec.of_api(), [message])
    assert_same(found, message)


def test_these_are_all_messages_there_are() -> None:
    assert {type(message) for message in UP} == set(m.Up.__args__)
    assert {type(message) for message in DOWN} == set(m.Down.__args__)


def test_many_messages_travel_together_in_order() -> None:
    api, device = codec.of_api(), codec.of_device()
    for _ in range(2):  # a codec keeps nothing of the parcel before
        found = over_the_wire(api, device, UP)
        assert len(found) == len(UP)
        for one, other in zip(found, UP, strict=True):
            assert_same(one, other)


@given(st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4))
def test_any_arrays_arrive(arrays: dict[str, np.ndarray]) -> None:
    message = m.Submit(1, "digits@1", "score", 0.0, arrays)
    (found,) = over_the_wire(codec.of_api(), codec.of_device(), [message])
    assert_same(found.arrays, arrays)


@pytest.mark.parametrize("rows", [0, 1, 100, 5000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_that_are_not_contiguous_arrive(rows: int, dtype: str) -> None:
    whole = np.arange(rows * 16).reshape(rows, 4, 4).astype(dtype)
    views = [whole[::2], whole[:, ::-1], whole.transpose(2, 0, 1), np.asfortranarray(whole), whole[:, 1]]
    message = m.Results([1], [rows], {str(place): view for place, view in enumerate(views)}, {})
    (found,) = over_the_wire(codec.of_device(), codec.of_api(), [message])
    assert_same(found, message)


def test_a_broadcast_array_arrives() -> None:
    broadcast = np.broadcast_to(np.float32(2.5), (100, 100))
    message = m.Submit(1, "a", "score", 0.0, {"items": broadcast})
    (found,) = over_the_wire(codec.of_api(), codec.of_device(), [message])
    assert_same(found.arrays["items"], np.ascontiguousarray(broadcast))


def test_large_arrays_are_frames_of_their_own_that_share_memory() -> None:
    small = np.zeros(INLINE, np.uint8)
    frames = codec.of_api().encode([m.Submit(1, "a", "score", 0.0, {"one": LARGE, "two": small, "three": LARGE + 1})])
    assert len(frames) == 3
    assert np.shares_memory(np.frombuffer(frames[1], np.float64), LARGE)
    (found,) = codec.of_device().decode(frames)
    assert isinstance(found, m.Submit)
    assert np.shares_memory(found.arrays["one"], LARGE)
    assert not found.arrays["two"].flags.writeable
    assert_same(found.arrays, {"one": LARGE, "two": small, "three": LARGE + 1})


@given(st.binary(max_size=200))
def test_foreign_bytes_are_an_error_and_no_crash(noise: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError, UnicodeDecodeError)):
        codec.of_device().decode([b"\xc1" + noise])
    with suppress(msgspec.MsgspecError, ValueError):
        codec.of_device().decode([noise])


def test_a_message_holds_data_only() -> None:
    with pytest.raises(NotImplementedError):
        codec.of_api().encode([m.Submit(1, "a", "score", 0.0, {"items": object()})])  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("message", "cost"),
    [
        (m.Submit(1, "a", "score", 0.0, {"items": np.zeros((5, 2))}), 5),
        (m.Submit(1, "a", "decode", 0.0, {"latents": np.zeros((3, 2))}), 3),
        (m.Submit(1, "a", "sample", 0.0, n=7), 7),
        (m.Submit(1, "a", "inpaint", 0.0, {"items": np.zeros((1, 2))}, n=3, options=m.Options(steps=50)), 150),
    ],
)
def test_a_request_costs_its_rows_times_its_ticks(message: m.Submit, cost: int) -> None:
    assert message.cost == cost
