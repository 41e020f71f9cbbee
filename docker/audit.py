"""Looks the packages of the locks up among known weaknesses, by pip-audit: ``make audit``.

    python docker/audit.py PIP_AUDIT LOCK... [-- OPTIONS OF PIP-AUDIT]

PIP_AUDIT is that program. Exit code 0: every package was looked up, and none has a known weakness. 1: some have; a line
for each. 3: not every package could be looked up, in one line that says why: the service was not reached, or does not
know a package. pip-audit itself ends with 0 where the service answers 404 to every package.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WEAK, _NOT_AUDITED = 1, 3
_PIN = re.compile(r"^[A-Za-z0-9._-]+==[^\s;\\]+")
_OPTIONS = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")
_SHOWN = 5


def pins(locks: Sequence[Path]) -> list[str]:
    """The lines `name==version` of locks, each once, without hashes. Raises ValueError where there are none."""
    lines = (line for lock in locks for line in lock.read_text("utf-8").splitlines())
    found = dict.fromkeys(match[0] for line in lines if (match := _PIN.match(line)))
    if not found:
        raise ValueError(f"no package is pinned in {', '.join(map(str, locks))}")
    return list(found)


def audited(program: str, wanted: Sequence[str], options: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit says of each package, and an empty text; or nothing, and why it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "requirements.txt"
        lock.write_text("\n".join(wanted) + "\n", "utf-8")
        command = [program, "--requirement", str(lock), *_OPTIONS, *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            return [], str(error)
    try:
        return list(json.loads(done.stdout)["dependencies"]), ""
    except (ValueError, KeyError, TypeError):
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return [], lines[-1] if lines else f"{program} ended with {done.returncode} and said nothing"


def main(arguments: Sequence[str]) -> int:
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    if cut < 2:
        sys.stderr.write(__doc__ or "")
        return 2
    (program, *locks), options = arguments[:cut], arguments[cut + 1 :]
    try:
        wanted = pins([Path(lock) for lock in locks])
    except (OSError, ValueError) as error:
        sys.stderr.write(f"not audited: {error}\n")
        return _NOT_AUDITED
    found, why = audited(program, wanted, options)
    weak = [(package, each) for package in found for each in package.get("vulns", ())]
    for package, each in weak:
        fixed = ", ".join(each.get("fix_versions", ())) or "no version yet"
        sys.stdout.write(f"{package['name']} {package['version']}: {each['id']}, mended in {fixed}\n")
    skipped = [package["name"] for package in found if "skip_reason" in package]
    left = len(wanted) - len(found) + len(skipped)
    if left:
        names = ", ".join(skipped[:_SHOWN]) + (" and others" if len(skipped) > _SHOWN else "")
        why = why or (f"the service does not know {names}" if skipped else "pip-audit passed them over")
        sys.stderr.write(f"not audited: {left} of {len(wanted)} packages were not looked up: {why}\n")
    if weak:
        return _WEAK
    if left:
        return _NOT_AUDITED
    sys.stdout.write(f"{len(wanted)} packages, none with a known weakness\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
