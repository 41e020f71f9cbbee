"""Files are read some rows at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from service.media.items import ItemSpec
from service.offline.sources import sources

IMAGES, VECTORS = ItemSpec((8, 8), is_image=True), ItemSpec((40,), is_image=False)


@pytest.mark.parametrize("name", ["large.npy", "large.npz", "large.csv", "large.parquet"])
def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path: Path, name: str) -> None:
    path, spec, count = tmp_path / name, VECTORS, 40_000  # larger than some blocks of a CSV
    if name.startswith("large.np"):
        spec, values = IMAGES, np.random.default_rng(0).random((count, 8, 8))
        (np.save if name.endswith("npy") else np.savez)(path, values)
    else:
        values = np.random.default_rng(0).random((count, 40)).round(3)
        columns = {str(index): column for index, column in enumerate(values.T)}
        if name.endswith("csv"):
            path.write_text("\n".join(",".join(map(str, row)) for row in values))
        else:
            parquet.write_table(pyarrow.table(columns), path, row_group_size=1000)
    next(sources([path], spec, fit=False)[0].batches(64))  # modules are imported when they are first needed
    tracemalloc.start()
    try:
        found = sum(len(batch.items) for source in sources([path], spec, fit=False) for batch in source.batches(64))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == count
    assert peak < values.nbytes / 2


@given(st.integers(1, 60), st.integers(1, 20))
def test_batches_are_the_array_cut_in_order(tmp_path_factory: pytest.TempPathFactory, count: int, rows: int) -> None:
    path = tmp_path_factory.mktemp("arrays") / "levels.npz"
    levels = np.random.default_rng(count).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    np.savez(path, levels)
    (source,) = sources([path], IMAGES, fit=False)
    batches = list(source.batches(rows))
    assert source.count == count
    assert all(len(batch.items) == rows for batch in batches[:-1])
    np.testing.assert_array_equal(np.concatenate([batch.items for batch in batches]), levels)
    assert [place.item for batch in batches for place in batch.places] == list(range(count))
