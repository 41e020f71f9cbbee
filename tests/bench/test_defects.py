"""Defects with masks that the benchmarks put into ordinary pictures."""

from __future__ import annotations

import pytest
import torch

from bench.defects import DEFECTS, VISIBLE, Invisible, damage


@pytest.mark.parametrize("name", DEFECTS)
def test_a_mask_holds_what_changed_and_an_outline_all_that_is_covered(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    item, other = torch.randint(60, 200, (2, 40, 48, 3), generator=generator, dtype=torch.uint8)
    found = damage(item, other, name, generator)
    changed = (found.picture.int() - item.int()).abs().amax(dim=2)
    assert torch.equal(found.mask, changed >= VISIBLE)
    assert bool(found.outline[found.mask].all())
    assert found.outline.sum() < found.outline.numel() / 2
    if name == "fading":  # mid-grey pixels look as before
        assert found.outline.sum() > 1.2 * found.mask.sum()


def test_a_picture_that_cannot_show_a_defect_is_told() -> None:
    flat = torch.full((32, 32), 90, dtype=torch.uint8)
    with pytest.raises(Invisible, match="shows no blur"):
        damage(flat, flat, "blur", torch.Generator().manual_seed(0))
