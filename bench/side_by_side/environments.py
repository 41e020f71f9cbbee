"""Virtual environments in bench/.envs, one for each peer: the peer's packages and those that Sluice's flows need.

    .venv/bin/python -m bench.side_by_side.environments [PEER ...]

Environments that are missing are made, which takes some minutes and 6 GB for all. To renew one, delete its folder.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1] / ".envs"
_REQUIREMENTS = Path(__file__).parents[1] / "peers" / "requirements"
_FLOWS = ("numpy", "pillow", "safetensors")
# PyTriton's server is linked against Debian's own interpreter.
_INTERPRETERS = {"triton": "/usr/bin/python3"}
_DONE = ".complete"


class NotInstalled(RuntimeError):
    """An environment cannot be made; the message says why in one line."""


def names() -> list[str]:
    """The peers that have requirements."""
    return sorted(path.stem for path in _REQUIREMENTS.glob("*.txt"))


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made if it is missing. Raises NotInstalled."""
    folder = ROOT / peer
    python = folder / "bin" / "python"
    wanted = (_REQUIREMENTS / f"{peer}.txt").read_text("utf-8")
    mark = folder / _DONE
    if mark.is_file() and mark.read_text("utf-8") == wanted:
        return python
    print(f"making {folder}", file=sys.stderr, flush=True)
    ROOT.mkdir(exist_ok=True)
    (ROOT / ".gitignore").write_text("*\n", "utf-8")
    _run([_INTERPRETERS.get(peer, sys.executable), "-m", "venv", str(folder)])
    # torch first, from the machine's own index: a peer's requirement of torch could fetch the build for CUDA.
    for packages in (["torch==2.13.0"], [*_FLOWS, "-r", str(_REQUIREMENTS / f"{peer}.txt")]):
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    mark.write_text(wanted, "utf-8")
    return python


def version_of(peer: str, package: str) -> str:
    """The version of a package in a peer's environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python_of(peer), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise NotInstalled(f"{command[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        output = (error.stderr or error.stdout).strip().splitlines()
        raise NotInstalled(output[-1] if output else f"{command[0]} ended with {error.returncode}") from error


if __name__ == "__main__":
    for name in sys.argv[1:] or names():
        try:
            python_of(name)
        except NotInstalled as error:
            print(f"{name}: {error}", file=sys.stderr)
