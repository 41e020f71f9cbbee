"""Sluice is held against the best peer of each column, not of the whole table."""

from __future__ import annotations

from contextlib import nullcontext

from bench.side_by_side.contenders import Contender
from bench.side_by_side.load import Load, Request
from bench.side_by_side.singles import CONNECTIONS, Outcome, lines, rows


def outcome(name: str, rates: tuple[int, ...], p50_ms: float, difference: float = 0.0, **what: bool) -> Outcome:
    contender = Contender(name, lambda: nullcontext(""), lambda _: Request("/"), lambda _: 0.0, **what)
    found = Outcome(contender, cpu_ms=[1.0], difference=difference)
    for connections, rate in zip(CONNECTIONS, rates, strict=True):
        found.loads[connections] = [Load(1.0, rate, p50_ms, p50_ms, 0, 0)]
    return found


SLUICE = outcome("Sluice", (100, 500, 1500, 2300), 5.0, is_sluice=True)
QUICK = outcome("Quick", (90, 200, 400, 500), 9.0)
BROAD = outcome("Broad", (20, 200, 450, 2000), 40.0)


def test_each_row_takes_its_own_best_peer() -> None:
    at_32, at_128, alone, agreement = rows([SLUICE, QUICK, BROAD])
    assert (at_32.reached, at_32.holds) == ("3.33 times Broad's", True)
    assert (at_128.reached, at_128.holds) == ("1.15 times Broad's", False)
    assert (alone.reached, alone.holds) == ("0.56 of Quick's", True)
    assert agreement.holds


def test_nets_of_bfloat16_have_higher_bars() -> None:
    fast = outcome("Fast", (100, 500, 1500, 2400), 4.4, is_sluice=True, is_float32=False)
    at_32, at_128, alone, _ = rows([fast, QUICK])
    assert at_32.target == "3.0 times the best peer's requests/s"
    assert at_128.target == "2.5 times the best peer's requests/s"
    assert (alone.target, alone.reached, alone.holds) == ("0.5 of the best peer's", "0.49 of Quick's", True)


def test_a_peer_that_did_not_run_is_named_and_left_out() -> None:
    gone = Outcome(BROAD.contender, failure="it ended with exit code 1")
    at_32, *_ = rows([SLUICE, QUICK, gone])
    assert at_32.reached == "3.75 times Quick's"
    assert any("Broad: not run, it ended with exit code 1" in line for line in lines([SLUICE, QUICK, gone]))


def test_answers_that_are_no_numbers_do_not_agree() -> None:
    strange = outcome("Strange", (1, 1, 1, 1), 9.0, difference=float("nan"))
    *_, agreement = rows([SLUICE, QUICK, strange])
    assert not agreement.holds


def test_another_precision_is_not_asked_to_agree() -> None:
    coarse = outcome("Coarse", (1, 1, 1, 1), 9.0, difference=0.5, is_sluice=True, is_float32=False)
    *_, agreement = rows([SLUICE, coarse, QUICK])
    assert agreement.holds
    assert agreement.work.startswith("all 2 ")
