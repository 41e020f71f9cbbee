"""The page of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from docs.generate.markdown import Table, code, one_line
from service.cli import main as sluice
from trainer.commands.calibrate import main as sluice_calibrate
from trainer.commands.train import main as sluice_train

HEAD = """\
# Command line

Every command and option, as `--help` tells them. What the commands are for, with examples that a test runs: [the
command line](../command-line.md).

"""
_ROOTS = {"sluice": sluice, "sluice-train": sluice_train, "sluice-calibrate": sluice_calibrate}


def page() -> str:
    """The page as Markdown."""
    sections = (_section(context) for name, command in _ROOTS.items() for context in contexts(name, command))
    return HEAD + "".join(sections).rstrip() + "\n"


def contexts(name: str, command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A command and those below it, each in its context."""
    context = click.Context(command, info_name=name, parent=parent)
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from contexts(below, found, context)


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## `{context.command_path}`\n\n", f"{_prose(command.help or '')}\n\n", f"Usage: `{usage}`\n\n"]
    options = Table("option", "default", "meaning")
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden and parameter.name != "help":
            options.row(_spelling(parameter, context), _default(parameter, context), _meaning(parameter))
    if options:
        parts += [options.text(), "\n"]
    examples = getattr(command, "examples", ())
    if examples:
        parts += ["Examples:\n\n```text\n", *_lines(examples), "```\n\n"]
    elif command.epilog:
        parts += [_epilog(command.epilog), "\n"]
    codes: dict[int, str] = getattr(command, "exit_codes", {})
    if codes:
        told = Table("exit code", "means")
        for number, meaning in sorted(codes.items()):
            told.row(str(number), meaning)
        parts += [told.text(), "\n"]
    return "".join(parts)


def _lines(examples: Any) -> Iterator[str]:
    return (f"{example}\n" for example in examples)


def _prose(text: str) -> str:
    """Help as Markdown: paragraphs in one line each, marked blocks as they are."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        f"```text\n{block.removeprefix(chr(8)).strip(chr(10))}\n```" if block.startswith("\b") else one_line(block)
        for block in paragraphs
    )


def _epilog(text: str) -> str:
    return f"```text\n{text.replace(chr(8) + chr(10), '').strip()}\n```\n"


def _spelling(option: click.Option, context: click.Context) -> str:
    names = ", ".join(code(name) for name in [*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    if isinstance(option.type, click.Choice):  # a bar between the choices would end the cell
        return f"{names} {' or '.join(code(str(choice)) for choice in option.type.choices)}"
    return f"{names} {code(option.make_metavar(context).replace('|', ', '))}"


def _default(option: click.Option, context: click.Context) -> str:
    if option.required:
        return "required"
    default = option.get_default(context, call=False)
    if default is None or callable(default) or isinstance(default, bool) or default == () or "UNSET" in repr(default):
        return ""
    return code(str(default))


def _meaning(option: click.Option) -> str:
    text = one_line(option.help or "")
    variable = f" Variable: {code(str(option.envvar))}." if option.envvar else ""
    return text + variable
