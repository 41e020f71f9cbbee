"""The command `sluice`: serve, score files, and look at the store."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError

from service.device_option import device_option, devices_option
from service.settings import Settings, UnusableToken


class _Commands(click.Group):
    """A command whose libraries are heavy is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "keys", "score"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "score":
            from service.offline.score_command import score

            return score
        if cmd_name == "keys":
            from service.keys_command import command

            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands)
@click.version_option(package_name="sluice")
def main() -> None:
    """Serve trained normalizing flows."""


_store = click.option("--store", type=click.Path(path_type=Path), help="The model store's directory.")


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one.")
@device_option
@devices_option
@_store
def serve(**options: object) -> None:
    """Serve every model's default version. Options win over SLUICE_ variables."""
    from service.exposure import check_exposure
    from service.keys import UnusableKeys
    from service.logs import log_as
    from service.supervisor import PortTaken, listen, supervise

    log_as("supervisor")
    said = {key: value for key, value in options.items() if value is not None}
    if {"device", "devices"} <= said.keys():
        raise click.UsageError("--devices takes the place of --device: give one of them")
    if "device" in said:
        said["devices"] = None
    try:
        settings = Settings.model_validate({**Settings().model_dump(), **said})
    except ValidationError as error:
        raise click.ClickException(_wrong_settings(error)) from error
    try:
        settings.admin_token()
        check_exposure(settings)
        listener = listen(settings)
    except (UnusableToken, UnusableKeys, PortTaken) as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(supervise(settings, listener))


def _wrong_settings(error: ValidationError) -> str:
    """Which variables are wrong, and how."""
    each = ((str(found["loc"][0]).upper(), found["msg"].removeprefix("Value error, ")) for found in error.errors())
    return "; ".join(f"SLUICE_{name}: {message}" for name, message in each)


@main.command()
@_store
def models(store: Path | None) -> None:
    """List the models of the store."""
    from model_store import Store

    shelf = Store(store or Settings().store)
    for name in shelf.names():
        at: dict[int, list[str]] = {}
        for alias, version in shelf.aliases(name).items():
            at.setdefault(version, []).append(alias)
        for version in shelf.versions(name):
            click.echo(f"{name}@{version}  {' '.join(sorted(at.get(version, [])))}".rstrip())


@main.command()
@click.argument("references", nargs=-1)
@_store
def verify(references: tuple[str, ...], store: Path | None) -> None:
    """Load models with every check; without arguments, every version there is. Exit code 1 if one is refused."""
    from model_store import Store, StoreError

    shelf = Store(store or Settings().store)
    refused = 0
    every = tuple(f"{name}@{version}" for name in shelf.names() for version in shelf.versions(name))
    for reference in references or every:
        try:
            name, version = shelf.resolve(reference)
            lines = shelf.verify(name, version)
        except StoreError as error:
            click.echo(f"{reference}: {error}", err=True)
            refused += 1
            continue
        click.echo(f"{name}@{version}")
        for line in lines:
            click.echo(f"  {line}")
    if refused:
        raise SystemExit(1)
