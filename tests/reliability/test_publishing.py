"""A publisher that is killed: the store holds the version as a whole or not at all, and the next one cleans up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model_store import Store, drafts
from tests.reliability.figures import Proof
from tests.reliability.markers import LONG
from tests.service.helpers import DIGITS, publish_small
from tests.service.servers import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by a signal")

KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.service.helpers import DIGITS, publish_small

store = Path(sys.argv[1])
publish_small(store / "whole", "digits", DIGITS)  # imports everything

def attempt(last):
    \"\"\"Publish, and die before the system call number ``last`` on a file; how many there were.\"\"\"
    calls = 0
    def hook(event, _):
        nonlocal calls
        if event == "open" or event.startswith(("os.", "tempfile.", "fcntl.", "shutil.")):
            calls += 1
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    publish_small(store / f"killed-{last}", "digits", DIGITS)
    return calls

reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, str(attempt(0)).encode())
    os._exit(0)
os.wait()
calls = int(os.read(reader, 100))
for last in range(1, calls + 1, int(sys.argv[2])):
    if os.fork() == 0:
        attempt(last)
        os._exit(0)
    _, status = os.wait()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, last
print(calls)
"""


@pytest.mark.parametrize("stride", [12, pytest.param(1, marks=LONG)])
def test_a_publisher_killed_between_any_two_system_calls_leaves_a_whole_store(
    tmp_path: Path, stride: int, monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    monkeypatch.setattr(drafts, "_YOUNG", 0.0)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(stride)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20, "the calls were seen"
    stores = sorted(tmp_path.glob("killed-*"))
    proof.injected(len(stores))
    left = 0
    for root in stores:
        store = Store(root)
        left += len(list(root.glob("digits/.publishing-*")))
        for version in store.versions("digits"):
            store.load("digits", version)
        publish_small(root, "digits", DIGITS)
        name, version = store.resolve("digits")
        assert version == max(store.versions("digits")) == store.aliases(name)["default"]
        store.load(name, version)
        assert not [path for path in (root / "digits").iterdir() if path.name.startswith(".")]
    assert left > 0, "some were killed half-way"


def test_what_a_running_publisher_writes_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "_YOUNG", 0.0)
    publish_small(tmp_path, "digits", DIGITS)
    code = f"""
import sys
from pathlib import Path
from model_store.drafts import draft_directory
with draft_directory(Path({str(tmp_path / "digits")!r})) as draft:
    print(draft, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        draft = Path(other.stdout.readline().decode().strip())
        publish_small(tmp_path, "digits", DIGITS)
        assert draft.is_dir()
        other.send_signal(signal.SIGKILL)
        other.wait()
    publish_small(tmp_path, "digits", DIGITS)
    assert not draft.exists()


def test_what_is_young_is_not_swept(tmp_path: Path) -> None:
    publish_small(tmp_path, "digits", DIGITS)
    young, old = tmp_path / "digits" / ".publishing-young", tmp_path / "digits" / ".publishing-old"
    for path in (young, old):
        path.mkdir()
    hour = time.time() - 3600
    os.utime(old, (hour, hour))
    publish_small(tmp_path, "digits", DIGITS)
    assert young.exists()
    assert not old.exists()
