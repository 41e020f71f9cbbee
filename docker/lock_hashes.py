"""Adds to the pins of the locks the hashes that the package index tells, for the image: ``make lock-hashes``.

    python docker/lock_hashes.py UV

UV is the program uv. Versions stay as they are. It writes docker/hashes/: `requirements.lock`, all that Sluice needs
but torch; `torch.lock`; `cuda.lock`, what torch's CUDA wheels need besides; `build.lock`, what builds Sluice's wheel.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
HASHES = ROOT / "docker" / "hashes"
_PYTHON = "3.12"
"""Of the image."""


def pins(lock: Path) -> list[str]:
    """The lines of a lock that name a version."""
    return [line for line in lock.read_text("utf-8").splitlines() if "==" in line and not line.startswith("#")]


def wanted() -> dict[str, list[str]]:
    """The pins of each file of hashes."""
    ours, cuda = pins(ROOT / "requirements.lock"), pins(ROOT / "docker" / "torch.lock")

    def those(lines: list[str], holds: Callable[[str], bool]) -> list[str]:
        return [line for line in lines if holds(line.partition("==")[0])]

    return {
        "requirements.lock": those(ours, lambda name: name != "torch"),
        "torch.lock": those(ours, lambda name: name == "torch"),
        "cuda.lock": those(cuda, lambda name: name != "setuptools"),
        "build.lock": those(cuda, lambda name: name == "setuptools"),
    }


def main() -> None:
    options = ["--quiet", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", _PYTHON]
    HASHES.mkdir(exist_ok=True)
    for name, lines in wanted().items():
        command = [sys.argv[1], "pip", "compile", *options, "-"]
        made = subprocess.run(command, input="\n".join(lines), text=True, stdout=subprocess.PIPE, check=True)  # noqa: S603
        (HASHES / name).write_text(made.stdout, "utf-8")


if __name__ == "__main__":
    main()
