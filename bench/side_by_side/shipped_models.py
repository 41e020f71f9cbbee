"""Copies of models that ship, so that a server need not load all of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from model_store import Store, default_root
from model_store.manifest import CALIBRATION, MANIFEST


def copy(model: str, root: Path, name: str | None = None, *, calibrated: bool = True) -> None:
    """Copy the default version of a shipped model into the store at ``root`` as version 1 of ``name``.

    Without ``name`` the model keeps its own. With ``calibrated=False`` its calibration is left out, and so the service
    gives no verdicts; everything else is the same.
    """
    store = Store(default_root())
    _, version = store.resolve(model)
    name = name or model
    target = root / name / "1"
    shutil.copytree(store.root / model / str(version), target)
    manifest = json.loads((target / MANIFEST).read_text("utf-8"))
    manifest |= {"name": name, "version": 1}
    if not calibrated:
        manifest["calibration"] = None
        manifest["files"].pop(CALIBRATION)
        (target / CALIBRATION).unlink()
    (target / MANIFEST).write_text(json.dumps(manifest), "utf-8")
