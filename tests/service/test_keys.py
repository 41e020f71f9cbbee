"""The file of API keys, and the command that changes it."""

from __future__ import annotations

import json
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service import keys
from service.cli import main
from service.keys import UnusableKeys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def command(*arguments: str, file: Path | None = None) -> Result:
    environment = {"SLUICE_KEYS_FILE": str(file)} if file else {}
    return CliRunner(env=environment).invoke(main, ["keys", *arguments])


def test_the_file_holds_no_secret_and_belongs_to_its_owner_alone(file: Path) -> None:
    shown = keys.create(file, "laptop", ["infer"])
    found = keys.parts(shown)
    assert found is not None
    number, secret = found
    assert len(secret) >= 43
    text = file.read_text()
    assert number in text
    assert secret not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_only_the_right_secret_is_the_keys(file: Path) -> None:
    shown = keys.create(file, "laptop", ["infer"])
    (key,) = keys.read(file)
    _, secret = keys.parts(shown) or ("", "")
    assert key.is_secret(secret)
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), "é" * 43):
        assert not key.is_secret(wrong)


def test_a_secret_with_the_right_checksum_is_not_enough(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.create(file, "laptop", ["infer"])
    (key,) = keys.read(file)
    monkeypatch.setattr(keys, "_check", lambda _: key.check)
    assert not key.is_secret("another")


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "x" * 65, "é", "-x"])
def test_a_name_is_plain(file: Path, name: str) -> None:
    with pytest.raises(UnusableKeys, match="name"):
        keys.create(file, name, ["infer"])
    assert not file.exists()


def test_a_name_is_taken_once_until_it_is_revoked(file: Path) -> None:
    first = keys.create(file, "laptop", ["infer"])
    with pytest.raises(UnusableKeys, match="already"):
        keys.create(file, "laptop", ["read"])
    keys.revoke(file, "laptop")
    assert keys.read(file) == []
    assert keys.create(file, "laptop", ["read"]) != first
    with pytest.raises(UnusableKeys, match="no key 'desktop'"):
        keys.revoke(file, "desktop")


def test_keys_that_are_made_at_once_are_all_there(file: Path) -> None:
    threads = [threading.Thread(target=keys.create, args=(file, f"key{place}", ["infer"])) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in keys.read(file)} == {f"key{place}" for place in range(8)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": [{}]}', '{"format": 2, "keys": []}', "\xff"])
def test_a_damaged_file_is_named(file: Path, text: str) -> None:
    file.write_text(text, "latin-1")
    with pytest.raises(UnusableKeys, match=r"keys\.json is damaged"):
        keys.read(file)
    assert command("list", file=file).exit_code == 1


def test_the_command_makes_lists_and_revokes(file: Path) -> None:
    arguments = ["--scope", "infer", "--expires", "90d", "--concurrent", "4", "--item-ticks-per-minute", "1000"]
    made = command("create", "nightly", *arguments, "--file", str(file))
    assert made.exit_code == 0
    assert keys.parts(made.output.strip()) is not None
    assert command("create", "laptop", "--expires", "2099-12-31", file=file).exit_code == 0
    nightly, laptop = json.loads(command("list", "--json", file=file).output)
    assert nightly["scopes"] == "infer"
    assert (nightly["concurrent"], nightly["item_ticks_per_minute"]) == (4, 1000)
    in_90_days = datetime.now(UTC) + timedelta(days=90)
    assert nightly["expires"] in {(in_90_days - timedelta(minutes=1)).date().isoformat(), in_90_days.date().isoformat()}
    assert (laptop["scopes"], laptop["expires"]) == ("infer,read", "2099-12-31")
    assert "nightly  scopes=infer" in command("list", file=file).output
    assert command("revoke", "nightly", file=file).exit_code == 0
    assert [key.name for key in keys.read(file)] == ["laptop"]
    assert command("revoke", "nightly", file=file).exit_code == 1


@pytest.mark.parametrize("wrong", [["--expires", "soon"], ["--scope", "root"], ["--concurrent", "0"]])
def test_what_cannot_be_is_refused(file: Path, wrong: list[str]) -> None:
    result = command("create", "laptop", *wrong, file=file)
    assert result.exit_code == 2
    assert wrong[0] in result.output
    assert not file.exists()


def test_without_a_file_the_command_asks_for_one() -> None:
    assert "--file" in command("list").output
