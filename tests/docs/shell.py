"""A shell in which the blocks of the pages run: a folder, a service, and programs that start at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.docs.blocks import ROOT, Block
from tests.service.servers import serving, wait_until

MODELS = ("mnist-nice", "moons")
ADDRESS = re.compile(r"\b(?:127\.0\.0\.1|localhost):8000\b")
LONGEST = 120
"""Seconds of one block."""


PROGRAMS = ("sluice", "sluice-train", "sluice-calibrate", "python")
_STAND_IN = """\
#!{python} -SE
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
asked = json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(line, [len(asked).to_bytes(4, "big")], [0, 1, 2])
line.sendall(asked)
told = line.recv(1)
sys.exit(told[0] if told else 1)
"""
"""A program that has tests/docs/commands.py run it, with its arguments, folder, environment and files."""


class Shell(NamedTuple):
    """Where blocks run. ``folder`` has a store of two models that ship, and the repository's docs/ and tests/data."""

    folder: Path
    address: str

    def run(self, block: Block) -> str:
        """Run a block; an exit code other than 0 fails the test, with everything that the block said."""
        return self.script(block.text, python=block.is_python, place=block.place)

    def script(self, text: str, *, python: bool, place: str) -> str:
        """Run a text of Python or of bash, and return what it wrote."""
        host = self.address.removeprefix("http://")
        text = ADDRESS.sub(host, text).replace(".venv/bin/", "")
        command = ["python", "-"] if python else ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            command,
            input=text if python else "",
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONGEST,
            check=False,
            text=True,
            errors="replace",
        )
        assert done.returncode == 0, f"{place} ended with {done.returncode}:\n{text}\n{done.stdout}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        programs = self.folder / ".programs"
        return {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "SLUICE_STORE": str(self.folder / "store"),
            "SLUICE_DEVICE": "cpu",
            "SLUICE_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "agg",
        }


@contextmanager
def shell_in(folder: Path) -> Iterator[Shell]:
    """A shell with its service; both end with the context."""
    for name in MODELS:
        shutil.copytree(ROOT / "model_store/models" / name, folder / "store" / name)
    (folder / "docs").symlink_to(ROOT / "docs")
    (folder / "tests").symlink_to(ROOT / "tests")
    socket, programs = folder / "commands.socket", folder / ".programs"
    programs.mkdir()
    for name in PROGRAMS:
        _write(programs / name, _STAND_IN.format(python=sys.executable, address=str(socket)))
    curl = shutil.which("curl")
    assert curl is not None
    _write(programs / "curl", f'#!/bin/sh\nexec {curl} --silent --show-error --fail-with-body "$@"\n')
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}", "OMP_NUM_THREADS": "1"}
    commands = subprocess.Popen([sys.executable, "-m", "tests.docs.commands", str(socket)], cwd=ROOT, env=environment)
    try:
        with serving(folder / "store", folder / "log", default_model="mnist-nice") as server:
            wait_until(lambda: socket.exists() or commands.poll() is not None, LONGEST)
            assert commands.poll() is None, "tests/docs/commands.py ended; its error is above"
            yield Shell(folder, server.address)
    finally:
        commands.kill()
        commands.wait(LONGEST)


def _write(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)
