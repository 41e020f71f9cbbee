"""What the page says of a verdict, without a browser."""

from __future__ import annotations

import re

import flows
from flows import anomaly
from flows.anomaly.members import row_tests
from tests.service.servers import ROOT


def test_every_test_of_a_verdict_has_a_question() -> None:
    source = (ROOT / "service" / "page" / "reasons.js").read_text()
    asked = set(re.findall(r'^  (\w+): "[^"]+\?",$', source, re.MULTILINE))
    image = flows.lattice((8, 8), width=4, blocks=1, components=2)
    point = flows.nice((2,), couplings=2, hidden=[4])
    for tests in (anomaly.PICTURE_TESTS, anomaly.tests_of(image), anomaly.tests_of(point), row_tests(True, True)):
        assert {test.name for test in tests} <= asked
