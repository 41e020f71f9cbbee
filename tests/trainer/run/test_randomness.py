"""Draws follow from (seed, epoch, step): equal for equal arguments, different for others."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from flows import nice
from trainer.run.randomness import batch_order, dequantise, noise_keys

SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS, st.integers(0, 1000))
def test_an_order_is_a_permutation_and_repeats(seed: int, epoch: int) -> None:
    order = batch_order(seed, epoch, 100)
    assert order.sort().values.equal(torch.arange(100))
    assert order.equal(batch_order(seed, epoch, 100))
    assert not order.equal(batch_order(seed, epoch + 1, 100))


@given(SEEDS)
def test_noise_differs_by_step_epoch_and_item_and_stays_inside_the_grey_level(seed: int) -> None:
    flow = nice((3, 3), couplings=1, hidden=[4])
    items = torch.full((4, 3, 3), 255, dtype=torch.uint8)
    one, again, next_step, next_epoch = (
        dequantise(flow, items, noise_keys(seed, *at, 4, items.device)) for at in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert one.equal(again)
    assert len({batch[row].numpy().tobytes() for batch in (one, next_step, next_epoch) for row in range(4)}) == 12
    assert flow.to_items(one).equal(items)
