"""The image's hashes are of the versions that the locks name, and the bill of materials lists these."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from docker import lock_hashes, sbom

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", lock_hashes.wanted())
def test_every_pin_has_hashes_and_no_other_version_does(name: str) -> None:
    text = (lock_hashes.HASHES / name).read_text("utf-8")
    entries = re.findall(r"^(\S+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE)
    assert "".join(f"{package}=={version} \\\n{hashes}" for package, version, hashes in entries) == text
    held = {sbom.canonical(package): version for package, version, _ in entries}
    wanted = [line.split("==") for line in lock_hashes.wanted()[name]]
    assert held == {sbom.canonical(package): version for package, version in wanted}, "run `make lock-hashes`"


def test_pip_refuses_a_file_whose_hash_is_another(tmp_path: Path) -> None:
    """What the image's installs rest on: one wrong digit, and nothing is installed."""
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK\x05\x06" + bytes(18))
    lock = tmp_path / "lock"
    lock.write_text(f"thing==1.0 --hash=sha256:{'0' * 64}\n")
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path), "--no-deps"]
    done = subprocess.run(
        [*pip, "--require-hashes", "--target", str(tmp_path / "to"), "-r", str(lock)], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "--require-hashes" in (ROOT / "docker/Dockerfile").read_text("utf-8")


def bill(tmp_path: Path, lines: str) -> Any:
    lock = tmp_path / "some.lock"
    lock.write_text(lines)
    return sbom.bill_of(list(sbom.packages(sbom.pinned(lock))))


def test_the_bill_lists_the_packages_of_a_lock_with_licences_and_what_they_need(tmp_path: Path) -> None:
    pydantic, core = metadata.version("pydantic"), metadata.version("pydantic-core")
    found = bill(tmp_path, f"# a comment\npydantic=={pydantic} \\\n    --hash=sha256:00\npydantic_core=={core}\n")
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    purls = [f"pkg:pypi/pydantic@{pydantic}", f"pkg:pypi/pydantic-core@{core}"]
    assert [component["purl"] for component in found["components"]] == purls
    assert all("MIT" in json.dumps(component["licenses"]) for component in found["components"])
    needs = {each["ref"]: each["dependsOn"] for each in found["dependencies"]}
    assert needs[purls[0]] == [purls[1]]
    assert needs["sluice"] == sorted(purls)
    assert found == bill(tmp_path, f"pydantic-core=={core}\npydantic=={pydantic}\n"), "the same packages, the same bill"


@pytest.mark.parametrize(("line", "why"), [("click==0.1", "installed as"), ("no-such-thing==1.0", "not installed")])
def test_an_environment_that_is_not_the_locks_ends_the_command(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(SystemExit, match=why):
        bill(tmp_path, f"{line}\n")
