"""The command `sluice verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from service.commands.style import Documented, bar, failures_told, json_option, json_text, settings_with, store_option


@click.command(
    cls=Documented,
    examples=("sluice verify", "sluice verify mnist moons@6", "sluice verify --store my-store --json"),
    exit_codes={0: "every version passed", 1: "a version was refused, or is not there"},
)
@click.argument("references", nargs=-1)
@store_option
@json_option
def verify(references: tuple[str, ...], store: Path | str | None, as_json: bool) -> None:
    """Load models with every check: hashes, tensors, the round trip, the golden log-likelihoods.

    Where SLUICE_TRUSTED_KEYS is set, a version must also be signed by one of these keys.

    REFERENCES are names, name@version or name@alias; without any, every version of the store is loaded.
    """
    from model_store import StoreError
    from service.opened_store import store_of

    with failures_told():
        shelf = store_of(settings_with(), store)
        every = tuple(f"{name}@{version}" for name in shelf.names() for version in shelf.versions(name))
    found: list[dict[str, Any]] = []
    wanted = references or every
    # Lines that came one by one would tear a bar apart.
    at_once = not as_json and not sys.stderr.isatty()
    with bar(len(wanted), "verifying", "models") as move:
        for place, reference in enumerate(wanted):
            try:
                name, version = shelf.resolve(reference)
                found.append({"reference": f"{name}@{version}", "passed": True, "checks": shelf.verify(name, version)})
            except StoreError as error:
                found.append({"reference": reference, "passed": False, "reason": str(error)})
            if at_once:
                _tell(found[-1])
            move(place + 1)
    if as_json:
        click.echo(json_text(found))
    elif not at_once:
        for one in found:
            _tell(one)
    if not all(one["passed"] for one in found):
        raise SystemExit(1)


def _tell(found: dict[str, Any]) -> None:
    if not found["passed"]:
        click.echo(f"{found['reference']}: {found['reason']}", err=True)
        return
    click.echo(found["reference"])
    for line in found["checks"]:
        click.echo(f"  {line}")
