"""The aligned part that the benchmark of pictures draws."""

from __future__ import annotations

import pytest
import torch

from bench.parts import PLACE_DEFECTS, faulty_parts, parts


@pytest.mark.parametrize("defect", PLACE_DEFECTS)
def test_a_defect_changes_one_small_part_of_an_ordinary_picture(defect: str) -> None:
    ordinary, (faulty, masks) = parts(64, 4, seed=3), faulty_parts(64, 4, 3, defect)
    assert torch.equal(
        ordinary[~masks].int().sub(faulty[~masks].int()).abs() < 24, torch.ones_like(ordinary[~masks]) > 0
    )
    assert all(10 < int(mask.sum()) < 400 for mask in masks)


def test_parts_differ_and_are_the_same_on_every_machine() -> None:
    drawn = parts(32, 3, seed=0)
    assert torch.equal(drawn, parts(32, 3, seed=0))
    assert not torch.equal(drawn[0], drawn[1])
    with pytest.raises(ValueError, match="no defect of the place is called dent"):
        faulty_parts(32, 1, 0, "dent")
