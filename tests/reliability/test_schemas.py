"""Thousands of cases that the schemas suggest, on every route: each answer is one that the schema documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.figures import Proof
from tests.reliability.markers import LONG, share_of
from tests.service.api.schemas import OWN, PROTOCOL, keep, settings
from tests.service.servers import serving


@LONG
@pytest.mark.parametrize(("schema", "examples"), [(OWN, 8), (PROTOCOL, 20)], ids=["own", "open inference protocol"])
def test_every_route_answers_as_its_schema_says(
    schema: str, examples: int, store: Path, tmp_path: Path, proof: Proof
) -> None:
    with serving(store, tmp_path / "log", **settings(tmp_path)) as server:
        cases = keep(server, schema, tmp_path, "--max-examples", str(share_of(examples)), seconds=300)
    proof.sent(cases)
    proof.measured[f"cases of {Path(schema).name}"] = f"{cases:,}"
    log = (tmp_path / "log").read_text()
    proof.expect("Traceback" not in log and "ERROR" not in log, f"the log says {log[-500:]}")
    proof.hold()
