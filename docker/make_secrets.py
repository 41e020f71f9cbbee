"""Makes what is secret at the first start, and leaves what is there already.

    make_secrets.py FILE... [--keys KEYS NAME=SCOPE,...=FILE ...]

Each FILE before --keys gets a random secret. Each NAME after it becomes an API key in the file KEYS, which holds its
hash, and FILE gets the key itself.
"""

import secrets
import sys
from pathlib import Path

from service import keys


def write(path: Path, secret: str) -> None:
    """The owner writes, its group reads: Grafana and Prometheus run as other users and are given this group.

    The rename keeps a start that was cut short from leaving half a secret.
    """
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o640)
    draft.write_text(secret)
    draft.rename(path)


def make_key(file: Path, name: str, scopes: str, path: Path) -> None:
    """A key that was made and whose file was not written, since a start was cut short, is made anew."""
    if file.exists() and any(key.name == name for key in keys.read(file)):
        keys.revoke(file, name)
    write(path, keys.create(file, name, [scope for scope in keys.SCOPES if scope in scopes.split(",")]))


def main(arguments: list[str]) -> None:
    """What the command line asks for."""
    split = arguments.index("--keys") if "--keys" in arguments else len(arguments)
    plain, rest = arguments[:split], arguments[split + 1 :]
    for path in map(Path, plain):
        if not path.exists():
            write(path, secrets.token_urlsafe(32))
    for asked in rest[1:]:
        name, scopes, file = asked.split("=")
        if not Path(file).exists():
            make_key(Path(rest[0]), name, scopes, Path(file))


if __name__ == "__main__":
    main(sys.argv[1:])
