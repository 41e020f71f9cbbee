"""Beyond this machine the service listens only with keys, or where its settings say that it is open."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from service import keys
from service.cli import main
from service.exposure import check_exposure, is_loopback
from service.keys import UnusableKeys
from service.settings import Settings


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_it_needs_a_key_that_is_good(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    check_exposure(Settings(host="127.0.0.1"))
    check_exposure(Settings(host="0.0.0.0", open=True))
    with pytest.raises(UnusableKeys, match="SLUICE_KEYS_FILE"):
        check_exposure(Settings(host="0.0.0.0"))
    for host in ("0.0.0.0", "127.0.0.1"):
        with pytest.raises(UnusableKeys, match="cannot be read"):
            check_exposure(Settings(host=host, keys_file=file))
    keys.create(file, "laptop", ["infer"])
    check_exposure(Settings(host="0.0.0.0", keys_file=file))
    keys.revoke(file, "laptop")
    with pytest.raises(UnusableKeys, match="no key that is good"):
        check_exposure(Settings(host="0.0.0.0", keys_file=file))


def test_the_command_refuses_to_start(store: Path) -> None:
    result = CliRunner().invoke(main, ["serve", "--host", "0.0.0.0", "--port", "0", "--store", str(store)])
    assert result.exit_code == 1
    assert "SLUICE_OPEN=1" in result.output
