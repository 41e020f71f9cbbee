"""Replace this process by a command that ends with its parent and runs inside the given control groups.

    python launch.py PARENT SIGNAL [GROUP ...] -- COMMAND ...

PARENT is the process that asked for it and SIGNAL the number of the signal that the command gets when PARENT ends.
Each GROUP is the directory of a control group. This is a program of its own, since code between fork and exec is not
safe in a process with threads. It imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, signal, *rest = sys.argv[1:]
    cut = rest.index("--")
    groups, command = rest[:cut], rest[cut + 1 :]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal))
    if os.getppid() != int(parent):
        raise SystemExit("the parent ended before the command began")
    for group in groups:
        with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as members:
            members.write("0")  # the process that writes
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
