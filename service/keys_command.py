"""`sluice keys`: make, list and revoke API keys."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from service import keys
from service.commands.style import Documented, DocumentedGroup, json_option
from service.keys import SCOPES, Key, Scope, UnusableKeys
from service.settings import Settings

_DAYS = re.compile(r"(\d{1,5})d")

_file = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of keys; SLUICE_KEYS_FILE where it is left out.",
)


@click.group(
    "keys",
    cls=DocumentedGroup,
    examples=(
        "sluice keys create laptop --file keys.json",
        "sluice keys create nightly --scope infer --expires 90d --concurrent 4 --item-ticks-per-minute 100000",
        "sluice keys list",
        "sluice keys revoke laptop",
    ),
)
def command() -> None:
    """Make, list and revoke API keys."""


@command.command(
    cls=Documented,
    examples=(
        "sluice keys create laptop",
        "sluice keys create nightly --scope infer --expires 90d --concurrent 4 --item-ticks-per-minute 100000",
    ),
    exit_codes={1: "no key was made, such as where the name is taken; the file is as it was"},
)
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("infer", "read"),
    show_default=True,
    help="What the key is good for; may be given several times.",
)
@click.option("--expires", help="A day (2030-01-31, UTC), or days from now (90d); never where it is left out.")
@click.option("--concurrent", type=click.IntRange(1), help="The most requests at once.")
@click.option("--item-ticks-per-minute", type=click.IntRange(1), help="The most work: items times ticks in a minute.")
@_file
def create(
    name: str,
    scopes: tuple[Scope, ...],
    expires: str | None,
    concurrent: int | None,
    item_ticks_per_minute: int | None,
    file: Path | None,
) -> None:
    """Make a key and print it. It is shown this once: the file holds its hash.

    A running service takes it within a second.
    """
    try:
        shown = keys.create(
            _path(file),
            name,
            scopes,
            expires=_moment(expires),
            concurrent=concurrent,
            item_ticks_per_minute=item_ticks_per_minute,
        )
    except UnusableKeys as error:
        raise click.ClickException(str(error)) from error
    click.echo(shown)


@command.command("list", cls=Documented, examples=("sluice keys list", "sluice keys list --json"))
@json_option
@_file
def list_(as_json: bool, file: Path | None) -> None:
    """List names, scopes, limits and end dates. No key can be got back from its hash."""
    try:
        found = keys.read(_path(file))
    except UnusableKeys as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([_told(key) for key in found], indent=2))
        return
    for key in found:
        told = [f"{name}={value}" for name, value in _told(key).items() if name != "name" and value is not None]
        click.echo(f"{key.name}  {' '.join(told)}")


@command.command(
    cls=Documented,
    examples=("sluice keys revoke laptop",),
    exit_codes={1: "there is no key of this name, or the file cannot be used"},
)
@click.argument("name")
@_file
def revoke(name: str, file: Path | None) -> None:
    """Take a key away. A running service refuses it within a second."""
    try:
        keys.revoke(_path(file), name)
    except UnusableKeys as error:
        raise click.ClickException(str(error)) from error


def _told(key: Key) -> dict[str, object]:
    expired = " (over)" if key.expired(datetime.now(UTC)) else ""
    return {
        "name": key.name,
        "scopes": ",".join(key.scopes),
        "created": key.created.date().isoformat(),
        "expires": None if key.expires is None else key.expires.date().isoformat() + expired,
        "concurrent": key.concurrent,
        "item_ticks_per_minute": key.item_ticks_per_minute,
    }


def _path(file: Path | None) -> Path:
    found = file or Settings().keys_file
    if found is None:
        raise click.UsageError("name the file of keys with --file, or set SLUICE_KEYS_FILE")
    return found


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    if days := _DAYS.fullmatch(text):
        return datetime.now(UTC).replace(microsecond=0) + timedelta(days=int(days[1]))
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise click.BadParameter(
            "a day such as 2030-01-31, or days from now such as 90d", param_hint="--expires"
        ) from error
