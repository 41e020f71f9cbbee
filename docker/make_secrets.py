"""Writes a random secret into each file named on the command line that does not exist yet."""

import secrets
import sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    if path.exists():
        continue
    # The owner writes, its group reads: Grafana, which runs as another user, is given this group. The rename keeps a
    # start that was cut short from leaving half a secret.
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o640)
    draft.write_text(secrets.token_urlsafe(32))
    draft.rename(path)
