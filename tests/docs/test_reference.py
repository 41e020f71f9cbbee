"""The reference pages are what the code says, and the code has words for everything that they list."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from docs.generate import command_page, settings_page
from docs.generate.pages import PAGES, REFERENCE
from service.cli import main as sluice
from service.settings import Settings
from tests.docs.blocks import ROOT


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (REFERENCE / name).read_text("utf-8") == PAGES[name](), f"run `make reference`: docs/reference/{name} is old"


def test_every_page_of_the_folder_is_made() -> None:
    assert {path.name for path in REFERENCE.iterdir()} == set(PAGES)


def test_every_setting_has_words() -> None:
    assert settings_page.undocumented() == []


def test_a_setting_tells_its_default_its_values_and_its_meaning() -> None:
    page = settings_page.page()
    port = next(line for line in page.splitlines() if "`SLUICE_PORT`" in line)
    assert "`8000`" in port
    assert "at least 0, at most 65535" in port
    assert f"| `SLUICE_DEADLINE` | `{Settings().deadline:g}` |" in page


def test_every_variable_of_the_code_is_on_the_page_of_the_settings() -> None:
    own = {"SLUICE_PARENT", "SLUICE_COMPLETE", "SLUICE_"}  # between processes; shell completion
    found = {
        name
        for room in ("service", "client/sluice_client", "model_store", "trainer")
        for path in (ROOT / room).rglob("*.py")
        for name in re.findall(r"\bSLUICE_[A-Z_]*", path.read_text("utf-8"))
    }
    page = settings_page.page()
    assert {name for name in found - own if f"`{name}`" not in page} == set()


def test_every_command_is_on_the_page_of_the_command_line() -> None:
    page = (ROOT / "docs/command-line.md").read_text("utf-8")
    assert all(f"`{name}" in page for name in sluice.list_commands(click.Context(sluice)))


def test_the_examples_of_a_command_name_options_that_it_has() -> None:
    for context in command_page.contexts("sluice", sluice):
        for example in getattr(context.command, "examples", ()):
            words = shlex.split(example.split(" > ")[0])
            while words and ("=" in words[0] or words[0] != "sluice"):
                words.pop(0)
            command: click.Command = sluice
            within = click.Context(sluice, info_name="sluice")
            words = words[1:]
            while isinstance(command, click.Group) and words and command.get_command(within, words[0]):
                found = command.get_command(within, words.pop(0))
                assert found is not None
                command = found
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            options = {word.split("=")[0] for word in words if word.startswith("-")}
            assert options <= known | {"--help"}, example
