"""A process that has imported what the commands of the pages need, and runs each of them in a child of its own.

To start Python and to import torch takes longer than most commands. `python -m tests.docs.commands SOCKET` listens; a
small program that stands for `sluice`, `sluice-train`, `sluice-calibrate` or `python` on the PATH of a shell hands over
its arguments, its folder, its environment and its three files, and ends with the exit code that it is told.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import click
import matplotlib.figure  # noqa: F401
import numpy  # noqa: F401
import PIL.Image  # noqa: F401
import sluice_client  # noqa: F401
import torch._dynamo  # noqa: F401 (an optimiser imports it, which takes seconds)

import flows  # noqa: F401
import model_store  # noqa: F401
import service.device.main
import service.offline.score_command  # noqa: F401
import trainer.detector  # noqa: F401
from service.cli import main as sluice
from trainer.commands.calibrate import main as sluice_calibrate
from trainer.commands.train import main as sluice_train


def main(address: str) -> None:
    """Listen until the process is killed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children need no wait
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    while True:
        line, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _answer(line)
        line.close()


def _answer(line: socket.socket) -> None:
    """Run what is asked for, tell the exit code, and end."""
    head, files, _, _ = socket.recv_fds(line, 4, 3)
    wanted, asked = int.from_bytes(head, "big"), b""
    while len(asked) < wanted:
        asked += line.recv(wanted - len(asked))
    name, arguments, folder, environment = json.loads(asked)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code = _exit_code(lambda: _run(name, arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    line.sendall(bytes([code]))
    os._exit(code)


def _run(name: str, arguments: list[str]) -> None:
    commands: dict[str, click.Command] = {
        "sluice": sluice,
        "sluice-train": sluice_train,
        "sluice-calibrate": sluice_calibrate,
    }
    if name in commands:
        commands[name].main(arguments, prog_name=name)
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        exec(compile(arguments[1], "<command>", "exec"), {"__name__": "__main__"})
    elif arguments[0] == "-":
        exec(compile(sys.stdin.read(), "<block>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


def _exit_code(run: Callable[[], None]) -> int:
    try:
        run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main(sys.argv[1])
