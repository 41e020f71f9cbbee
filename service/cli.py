"""The command `sluice`. Each subcommand has a file of its own, which is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import click

from service.commands.style import EXIT_CODES, INTERRUPTED, DocumentedGroup


class _Place(NamedTuple):
    """Where a command is, and what the list of commands says of it."""

    module: str
    help: str
    function: str = ""
    """Of that module, where its name is not the command's."""


_COMMANDS = {
    "serve": _Place("service.commands.serve", "Serve the models of a store over HTTP."),
    "models": _Place("service.commands.models", "List the models of a store, or show one's card."),
    "sample": _Place("service.offline.sample_command", "Draw new items, without a service."),
    "score": _Place("service.offline.score_command", "Score files, without a service."),
    "inpaint": _Place("service.offline.inpaint_command", "Fill in what a mask hides, without a service."),
    "verify": _Place("service.commands.verify", "Load models with every check."),
    "sign": _Place("service.commands.sign", "Sign models, so that services can refuse all others."),
    "publish": _Place("service.commands.publish", "Publish weights that come without a manifest."),
    "pull": _Place("service.commands.pull", "Take a model from a directory or an archive into a store."),
    "push": _Place("service.commands.push", "Write a model of a store to a directory or an archive."),
    "keys": _Place("service.keys_command", "Make, list and revoke API keys.", "command"),
    "bench": _Place("service.offline.bench_command", "Measure how fast a model computes on this machine."),
}


class _Commands(DocumentedGroup):
    """A group that imports a command when it is asked for: `sluice --help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        command: click.Command = getattr(import_module(place.module), place.function or cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise SystemExit(INTERRUPTED) from None


@click.group(
    cls=_Commands,
    examples=(
        "sluice serve",
        "sluice sample --model mnist-nice -n 64 -o grid.png",
        "sluice score pictures/ > scores.csv",
        "sluice COMMAND --help",
    ),
    exit_codes=EXIT_CODES,
)
@click.version_option(package_name="sluice")
def main() -> None:
    """Serve trained normalizing flows, and use them on files.

    Completion of commands and options in a shell: eval "$(_SLUICE_COMPLETE=bash_source sluice)"; zsh and fish likewise.
    """
