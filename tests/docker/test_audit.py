"""`make audit`: what pip-audit finds is told, and what it could not look up is no success."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Audit = Callable[..., "subprocess.CompletedProcess[str]"]
GOOD = {"name": "click", "version": "8.1.7", "vulns": []}
WEAK = {"name": "flask", "version": "0.5", "vulns": [{"id": "PYSEC-2019-179", "fix_versions": ["1.0"], "aliases": []}]}
UNKNOWN = {"name": "flask", "skip_reason": "Dependency not found on PyPI and could not be audited: flask (0.5)"}


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """docker/audit.py over a lock of two packages, with a program in place of pip-audit that answers as it does."""
    lock = tmp_path / "some.lock"
    lock.write_text("-r other.lock\n# a comment\nclick==8.1.7\nflask==0.5 \\\n    --hash=sha256:00\nflask==0.5\n")

    def run(found: object, code: int, stderr: str = "") -> subprocess.CompletedProcess[str]:
        program = tmp_path / "pip-audit"
        told = "" if found is None else json.dumps({"dependencies": found, "fixes": []})
        (tmp_path / "told").write_text(told)
        program.write_text(
            f"#!{sys.executable}\nimport pathlib, sys\n"
            f"lock = pathlib.Path(sys.argv[sys.argv.index('--requirement') + 1])\n"
            f"assert lock.read_text() == 'click==8.1.7\\nflask==0.5\\n', lock.read_text()\n"
            f"sys.stdout.write(pathlib.Path({str(tmp_path / 'told')!r}).read_text())\n"
            f"sys.stderr.write({stderr!r})\nraise SystemExit({code})\n"
        )
        program.chmod(0o755)
        return subprocess.run(
            [sys.executable, str(ROOT / "docker/audit.py"), str(program), str(lock)], capture_output=True, text=True
        )

    return run


def test_nothing_known_is_said_of_all_packages(audit: Audit) -> None:
    done = audit([GOOD, {**GOOD, "name": "flask"}], 0, "No known vulnerabilities found\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 packages, none with a known weakness\n", "")


def test_a_weakness_is_told_with_the_version_that_mends_it(audit: Audit) -> None:
    done = audit([GOOD, WEAK], 1, "Found 1 known vulnerability in 1 package\n")
    assert (done.returncode, done.stdout) == (1, "flask 0.5: PYSEC-2019-179, mended in 1.0\n")


def test_a_service_that_cannot_be_reached_is_said_in_one_line_and_is_no_success(audit: Audit) -> None:
    traceback = "Traceback (most recent call last):\n  ...\nConnectionError: Max retries exceeded with url: /v1/query\n"
    done = audit(None, 1, traceback)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "not audited: 2 of 2 packages were not looked up: ConnectionError: Max retries exceeded with url: /v1/query\n"
    )


def test_packages_that_the_service_does_not_know_are_no_success_though_pip_audit_says_so(audit: Audit) -> None:
    done = audit([{**UNKNOWN, "name": "click"}, UNKNOWN], 0, "No known vulnerabilities found\n")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "not audited: 2 of 2 packages were not looked up: the service does not know click, flask\n"
    some = audit([GOOD, UNKNOWN], 0)
    assert (some.returncode, some.stderr.count("1 of 2")) == (3, 1)


def test_a_weakness_counts_though_another_package_was_not_looked_up(audit: Audit) -> None:
    done = audit([WEAK, {**UNKNOWN, "name": "click"}], 1)
    assert done.returncode == 1
    assert "PYSEC-2019-179" in done.stdout
    assert "not audited: 1 of 2" in done.stderr


def test_packages_that_are_passed_over_are_no_success(audit: Audit) -> None:
    done = audit([GOOD], 0)
    assert (done.returncode, "1 of 2 packages were not looked up" in done.stderr) == (3, True)


@pytest.mark.parametrize("lock", ["", "# nothing\n", None])
def test_no_program_and_no_packages_are_no_success(tmp_path: Path, lock: str | None) -> None:
    if lock is not None:
        (tmp_path / "some.lock").write_text(lock or "click==8.1.7\n")
    command = [sys.executable, str(ROOT / "docker/audit.py"), str(tmp_path / "none"), str(tmp_path / "some.lock")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("not audited: ")
