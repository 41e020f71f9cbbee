"""``--start``: the published flow whose weights a run starts from."""

from __future__ import annotations

from pathlib import Path

from model_store import Store
from model_store.manifest import WEIGHTS
from trainer.run.start import Start


def start_from(reference: str, store: Path | Store) -> Start:
    """The model ``name``, ``name@version`` or ``name@alias`` of a store, as a start. Raises StoreError."""
    opened = store if isinstance(store, Store) else Store(store)
    name, version = opened.resolve(reference)
    model = opened.load(name, version)
    return Start(
        reference=f"{name}@{version}",
        digest=model.manifest.files[WEIGHTS].sha256,
        architecture=model.manifest.architecture.name,
        item_shape=tuple(model.flow.item_shape),
        arguments=model.manifest.architecture.arguments,
        weights=model.flow.state_dict(),
    )
