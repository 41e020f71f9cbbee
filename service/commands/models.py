"""The commands `sluice models` and `sluice models show`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.commands.style import (
    Documented,
    DocumentedGroup,
    failures_told,
    json_option,
    json_text,
    settings_with,
    store_option,
)

if TYPE_CHECKING:
    from model_store import Store

_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")


@click.group(
    cls=DocumentedGroup,
    invoke_without_command=True,
    examples=("sluice models", "sluice models --store my-store --json", "sluice models show moons@6"),
)
@store_option
@json_option
@click.pass_context
def models(ctx: click.Context, store: Path | str | None, as_json: bool) -> None:
    """List the models of the store, a line for each version with its aliases."""
    ctx.obj = store
    if ctx.invoked_subcommand is not None:
        return
    with failures_told():
        found = _versions(_store(store))
    if as_json:
        click.echo(json_text(found))
        return
    for entry in found:
        click.echo(f"{entry['reference']}  {' '.join(entry['aliases'])}".rstrip())


@models.command(
    cls=Documented,
    examples=("sluice models show mnist", "sluice models show mnist --json > manifest.json"),
)
@click.argument("reference")
@store_option
@json_option
@click.pass_obj
def show(outer_store: Path | str | None, reference: str, store: Path | str | None, as_json: bool) -> None:
    """Print the model card of REFERENCE (name, name@version or name@alias); with --json its manifest."""
    from model_store.manifest import CARD

    with failures_told():
        shelf = _store(store or outer_store)
        name, version = shelf.resolve(reference)
        data = shelf.manifest_bytes(name, version) if as_json else shelf.read(name, version, CARD)
    text = data.decode("utf-8", "replace")
    click.echo(text.rstrip() if as_json else _shown(text, styled=sys.stdout.isatty()))


def _store(store: Path | str | None) -> Store:
    from service.opened_store import store_of

    return store_of(settings_with(), store)


def _versions(shelf: Store) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in shelf.names():
        aliases = shelf.aliases(name)
        for version in shelf.versions(name):
            at = sorted(alias for alias, target in aliases.items() if target == version)
            found.append({"reference": f"{name}@{version}", "name": name, "version": version, "aliases": at})
    return found


def _shown(card: str, styled: bool) -> str:
    """A card for a terminal: pictures by their names, and headings in bold where the terminal can."""
    # A card comes from outside: only its text reaches the terminal, no sequence that would steer it.
    plain = "".join(c for c in card if c in "\n\t" or c.isprintable())
    lines = [_PICTURE.sub(r"[picture \2: \1]", line) for line in plain.rstrip().splitlines()]
    if not styled:
        return "\n".join(lines)
    return "\n".join(click.style(line, bold=True) if line.startswith("#") else line for line in lines)
