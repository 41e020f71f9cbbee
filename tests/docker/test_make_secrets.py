"""The secrets of a first start are made once, and a start that was cut short leaves nothing half made."""

from __future__ import annotations

import stat
from pathlib import Path

from docker import make_secrets
from service import keys


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    token, file, key = tmp_path / "token", tmp_path / "keys.json", tmp_path / "key"
    arguments = [str(token), "--keys", str(file), f"client=infer,read={key}"]
    make_secrets.main(arguments)
    made = token.read_text(), key.read_text()
    assert len(made[0]) >= 32
    make_secrets.main(arguments)
    assert made == (token.read_text(), key.read_text())
    (held,) = keys.read(file)
    assert (held.name, held.scopes) == ("client", ("infer", "read"))
    assert held.is_secret((keys.parts(made[1]) or ("", ""))[1])
    assert {stat.S_IMODE(path.stat().st_mode) for path in (token, key)} == {0o640}


def test_a_key_whose_file_was_not_written_is_made_anew(tmp_path: Path) -> None:
    file, key = tmp_path / "keys.json", tmp_path / "key"
    keys.create(file, "client", ["infer"])
    make_secrets.main(["--keys", str(file), f"client=infer={key}"])
    (held,) = keys.read(file)
    assert held.is_secret((keys.parts(key.read_text()) or ("", ""))[1])
