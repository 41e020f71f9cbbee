"""What the commands share: help with examples and exit codes, options, errors, and progress bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from service.settings import Settings

FAILED, USAGE, INTERRUPTED = 1, 2, 130
EXIT_CODES: Mapping[int, str] = {
    0: "done",
    FAILED: "not done; the standard error says why",
    USAGE: "the command line is wrong",
    INTERRUPTED: "ended by Ctrl-C",
}
"""What an exit code means unless a command says otherwise."""


class Documented(click.Command):
    """A command whose help ends with examples and with what its exit codes mean."""

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), exit_codes: Mapping[int, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples, self.exit_codes = examples, {**EXIT_CODES, **(exit_codes or {})}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both sections, each line as it is."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in sorted(self.exit_codes.items())])


class DocumentedGroup(Documented, click.Group):
    """The same of a command with subcommands."""


class _Location(click.Path):
    """A directory, or a URL, which stays a text."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from service.settings import location

        found = location(value)
        return found if isinstance(found, str) else super().convert(value, param, ctx)


store_option = click.option(
    "--store",
    type=_Location(file_okay=False, path_type=Path),
    envvar="SLUICE_STORE",
    show_envvar=True,
    help="The model store: a directory, or a URL such as s3://bucket/models.  [default: what ships with Sluice]",
)
model_option = click.option("--model", help="name, name@version or name@alias.  [default: the store's]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def settings_with(**options: object) -> Settings:
    """The settings of the environment, where an option that is given wins. A wrong one ends the command."""
    from pydantic import ValidationError

    from service.settings import Settings

    given = {key: value for key, value in options.items() if value is not None}
    if "device" in given:
        given["devices"] = None  # the one that is typed takes the place of those that are set
    try:
        return Settings.model_validate({**Settings().model_dump(), **given})
    except ValidationError as error:
        each = ((str(found["loc"][0]).upper(), found["msg"].removeprefix("Value error, ")) for found in error.errors())
        raise click.ClickException("; ".join(f"SLUICE_{name}: {message}" for name, message in each)) from error


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn the errors that a user can cause into one line on the standard error, and exit code 1."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        # Imported here: by now whatever can raise these is imported too.
        from model_store import StoreError
        from service.device_names import NoSuchDevice
        from service.offline.unusable import UnusableFile, in_options
        from service.protocol.errors import Problem

        if isinstance(error, NoSuchDevice | StoreError | UnusableFile):
            raise click.ClickException(str(error)) from error
        if isinstance(error, Problem):
            raise click.ClickException(in_options(error.detail)) from error
        raise


@contextmanager
def bar(length: int, label: str, unit: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on the standard error, with rate and time left; yields what moves it to a place.

    Nothing is shown where the standard error is no terminal.
    """
    began, place = time.monotonic(), 0

    def rate(_: object) -> str:
        seconds = time.monotonic() - began
        return f"{place / seconds:,.1f} {unit}/s" if place and seconds > 0 else ""

    hidden = not sys.stderr.isatty()
    with click.progressbar(
        length=length, label=label, file=sys.stderr, show_pos=True, show_eta=True, item_show_func=rate, hidden=hidden
    ) as shown:

        def move(to: int) -> None:
            nonlocal place
            step, place = to - place, to
            shown.update(step, current_item=None if hidden else object())

        yield move


@contextmanager
def watched(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes whose number is known later; yields what is told how many are done, and of how many."""
    with ExitStack() as shown:
        move: Callable[[int], None] | None = None

        def watch(done: int, of: int) -> None:
            nonlocal move
            if move is None:
                move = shown.enter_context(bar(of, label, "bytes"))
            move(done)

        yield watch


def write_out(output: Path | None, data: bytes) -> None:
    """Write bytes to a file, or to the standard output unless that is a terminal."""
    if output is not None:
        try:
            output.write_bytes(data)
        except OSError as error:
            raise click.ClickException(f"{output}: cannot be written: {error.strerror}") from error
        return
    if sys.stdout.isatty():
        raise click.UsageError("--output is needed: pictures and arrays are not for a terminal")
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def json_text(document: object) -> str:
    """A document as indented JSON; numbers that are not finite become null."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
