"""Fuzz one target in this process, with the coverage of every parser as the guide. Arguments are libFuzzer's.

python -m tests.reliability.fuzz.one npy -max_total_time=60 DIRECTORY
"""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any


def main() -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["service.media", "service.api.bodies", "tables", "python_multipart"]):
        targets = importlib.import_module("tests.reliability.fuzz.targets")
    warnings.simplefilter("ignore")
    target = targets.TARGETS[sys.argv[1]]
    # What libFuzzer starts again to merge corpora: it hands the words to a shell.
    again = f"{sys.executable} -m {__spec__.name} {sys.argv[1]}"
    atheris.Setup([again, *sys.argv[2:]], lambda data: target(bytes(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
