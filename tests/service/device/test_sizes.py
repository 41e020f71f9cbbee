"""The sizes of batches, and the limit that running out of memory sets."""

from __future__ import annotations

import pytest

from service.device.sizes import Sizes, agreeing, gpu_sizes


def test_a_batch_is_filled_up_to_the_least_proven_size() -> None:
    sizes = Sizes((32, 512), 512)
    assert [sizes.fit(rows) for rows in (1, 32, 33, 512)] == [32, 32, 512, 512]
    assert sizes.most() == 512


def test_a_multiple_stands_for_all_of_its_multiples() -> None:
    sizes = Sizes(8, 20)
    assert [sizes.fit(rows) for rows in (1, 8, 9, 20)] == [8, 8, 16, 24]
    assert sizes.most() == 20


def test_the_sizes_to_try_end_with_the_largest_batch() -> None:
    assert gpu_sizes(2048) == (32, 256, 1024, 2048)
    assert gpu_sizes(300) == (32, 256, 300)
    assert gpu_sizes(16) == (16,)


def test_a_limit_of_memory_rises_again_while_all_goes_well() -> None:
    sizes = Sizes(8, 256)
    sizes.shrink(200)
    assert sizes.most() == 100
    for _ in range(100):
        sizes.grow()
    assert sizes.most() == 200
    for _ in range(100):
        sizes.grow()
    assert sizes.most() == 256


def test_where_memory_suffices_for_no_proven_size_rows_are_not_filled_up() -> None:
    sizes = Sizes((512,), 512)
    sizes.shrink(40)
    assert sizes.most() == 20
    assert sizes.fit(20) == 20


@pytest.mark.parametrize(
    ("sets", "used"),
    [
        ([{32, 256, 1024, 2048}], (32, 256, 1024, 2048)),
        ([{32, 256, 1024}, {2048}], (32, 256, 1024)),
        ([{32}, {256, 1024, 2048}], (256, 1024, 2048)),
        ([{32, 256}, {1024, 2048}], (32, 256)),
        ([{32, 1024}, {256}, {2048}], (32, 1024)),
        ([{32}, {256}, {1024}, {2048}], (256,)),
    ],
)
def test_the_most_sizes_that_agree_are_used(sets: list[set[int]], used: tuple[int, ...]) -> None:
    assert agreeing(gpu_sizes(2048), lambda few, many: any({few, many} <= those for those in sets)) == used
