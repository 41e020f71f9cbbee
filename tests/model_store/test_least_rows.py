"""How many rows a batch needs so that no row's bits depend on its company: found by trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

import flows
from flows.architectures.lattice_flow import LatticeFlow
from flows.nets.precision import with_bfloat16_nets
from model_store.least_rows import least_encoding, least_rows
from tests.conftest import Digits
from tests.flows.cases import disturb


def test_nets_of_bfloat16_need_few_rows(digits: Digits) -> None:
    torch.manual_seed(0)
    flow = with_bfloat16_nets(disturb(flows.nice((28, 28), hidden=[24], couplings=2)))
    least = least_rows(flow, digits.test[:8], 0)
    assert 1 <= least.encoding <= least.drawing == least.decoding <= 8


def test_drawing_is_tried_on_a_flow_that_draws_given_the_others(digits: Digits) -> None:
    class DrawsByTheBatch(LatticeFlow):
        def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
            drawn, log_densities = super().redraw(x, chosen, uniform)
            return drawn, log_densities + len(x) / 1000

    flow = flows.lattice((28, 28), width=4, blocks=1, components=2).double().requires_grad_(False)
    flow.__class__ = DrawsByTheBatch
    least = least_rows(flow, digits.test[:8], 0)
    assert least.encoding < least.drawing == 8


def test_a_flow_whose_answers_depend_on_the_batch_size_needs_full_batches(digits: Digits) -> None:
    class DependsOnTheBatch(flows.Flow):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z, log_abs_det = super().encode(x)
            return z + len(x) / 1000, log_abs_det

    flow = flows.nice((28, 28), hidden=[8], couplings=2).requires_grad_(False)
    flow.__class__ = DependsOnTheBatch
    assert least_rows(flow, digits.test[:8], 0) == (8, 8, 8)


def test_an_inverse_that_depends_on_the_batch_size_does_not_make_scores_wait_for_company(digits: Digits) -> None:
    class DecodesByTheBatch(flows.Flow):
        def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
            x, log_abs_det = super().decode(z)
            return x + len(z) / 1000, log_abs_det

    flow = flows.nice((28, 28), hidden=[8], couplings=2).double().requires_grad_(False)
    flow.__class__ = DecodesByTheBatch
    least = least_rows(flow, digits.test[:8], 0)
    assert least.encoding < least.decoding == 8


def test_a_flow_whose_answers_depend_on_the_number_of_threads_needs_full_batches(digits: Digits) -> None:
    threads = 1

    class DependsOnThreads(flows.Flow):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z, log_abs_det = super().encode(x)
            return z + threads / 1000, log_abs_det

    @contextmanager
    def two() -> Iterator[None]:
        nonlocal threads
        threads = 2
        yield
        threads = 1

    flow = flows.nice((28, 28), hidden=[8], couplings=2).double().requires_grad_(False)
    flow.__class__ = DependsOnThreads
    assert least_encoding(flow, digits.test[:8], 0) < 8
    assert least_encoding(flow, digits.test[:8], 0, [nullcontext, two]) == 8


def test_every_item_is_tried_not_only_the_first(digits: Digits) -> None:
    class TellsTheLastAlone(flows.Flow):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z, log_abs_det = super().encode(x)
            alone = len(x) == 1 and torch.equal(x[0], last)
            return z + (1e-3 if alone else 0.0), log_abs_det

    flow = flows.nice((28, 28), hidden=[8], couplings=2).double().requires_grad_(False)
    last = flow.to_continuous(digits.test[:8], 0)[-1]
    assert least_encoding(flow, digits.test[:8], 0) == 1
    flow.__class__ = TellsTheLastAlone
    assert least_encoding(flow, digits.test[:8], 0) == 2
