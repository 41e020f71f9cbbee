"""A page of the documentation that keeps figures between two marks, for the command that made them to renew."""

from __future__ import annotations

import argparse
from pathlib import Path

END = "<!-- end of the figures -->"


def begin(command: str) -> str:
    """The mark behind which the figures of a command stand."""
    return f"<!-- figures of {command} -->"


def refuse_parts(parser: argparse.ArgumentParser, options: argparse.Namespace, *parts: str) -> None:
    """End a program that is to write into a page while one of these options leaves out a part of its figures."""
    for part in parts:
        if options.into and getattr(options, part):
            name = part.replace("_", "-")
            parser.error(f"--into replaces all figures of the page, so it cannot be used with --{name}")


def write_into(page: Path, command: str, figures: str) -> None:
    """Put a command's figures between their marks, in place of what is there. A page without the marks ends the run."""
    mark = begin(command)
    before, _, rest = page.read_text("utf-8").partition(mark)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page} lacks the marks {mark} and {END}")
    page.write_text(f"{before}{mark}\n{figures}\n{END}{after}", "utf-8")
