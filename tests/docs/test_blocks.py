"""Every block of commands or of Python in the pages runs, or the page says why not.

A page marks a block that no test runs by a line before it: `<!-- not run: the reason -->`. The blocks of a page run in
their order in one folder, with a service of two shipped models whose default is `mnist-nice`; the Python blocks of a
page are one program, which runs where the first of them stands.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.blocks import ROOT, Block, blocks_of, pages
from tests.docs.elsewhere import NOT_RUN, RUN_ELSEWHERE
from tests.docs.shell import Shell, shell_in

pytestmark = pytest.mark.timeout(300)

SUBSTITUTES = {
    "docs/maps.md": {"model=mnist&": "model=mnist-nice&", "--model mnist ": "--model mnist-nice "},
    "docs/security.md": {
        "mnist moons@6": "moons",
        "sluice verify": "sluice verify moons",
        "SLUICE_TRUSTED_KEYS=sluice-key.pem.pub sluice serve\n": "",  # it serves until it is stopped
    },
    "docs/tables.md": {"--model NAME ": "--model moons "},
}
"""What pages name and the test does not have, and what stands in for it."""
WRITTEN = re.compile(r"(?:(?:-o|--output)[ =]|> )([\w./-]+)(?![\w./-]*/dev)", re.M)
"""Files that a block of commands says it writes."""


def runnable(page: str) -> list[Block]:
    """The blocks of a page that a reader would run, without those that are marked."""
    kept = [block for block in blocks_of(page) if (block.is_python or block.is_shell) and not block.reason]
    return [block for block in kept if block.text.splitlines()[0] not in NOT_RUN.get(page, {})]


PAGES = [page for page in pages() if page not in RUN_ELSEWHERE and runnable(page)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("pages")
    for name in ("digit.png", "mask.png"):
        shutil.copy2(ROOT / "docs" / name, folder)
    (folder / "rows.csv").write_text("x,y\n0.5,0.25\n3,3\n")
    (folder / "pictures").mkdir()
    shutil.copy2(ROOT / "docs/digit.png", folder / "pictures")
    with shell_in(folder) as made:
        yield made


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(shell: Shell, page: str) -> None:
    found = runnable(page)
    program = "\n".join(block.text for block in found if block.is_python)
    began = False
    for block in found:
        if not block.is_python:
            shell.script(_substituted(page, block.text), python=False, place=block.place)
            for name in WRITTEN.findall(block.text):
                assert (shell.folder / name).stat().st_size, f"{block.place} wrote no {name}"
        elif not began:
            began = True
            shell.script(program, python=True, place=block.place)


def _substituted(page: str, text: str) -> str:
    for named, small in SUBSTITUTES.get(page, {}).items():
        assert named in text, page
        text = text.replace(named, small)
    return text


def test_every_metric_of_a_service_is_on_its_page(shell: Shell) -> None:
    shell.script("curl -X POST 'localhost:8000/sample?model=moons&n=1' -o /dev/null", python=False, place="here")
    text = shell.script("curl localhost:8000/metrics", python=False, place="here")
    page = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    families = (family.name for family in text_string_to_metric_families(text))
    names = {name for name in families if name.startswith("sluice_") and not name.endswith("_created")}
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in page and f"`{name}_total`" not in page} == set()


SCRIPTS = sorted(path.name for path in (ROOT / "docs/gallery").glob("[!_]*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_of_the_gallery_runs(shell: Shell, script: str) -> None:
    """In short, into a folder of its own: it draws its picture and says what it found."""
    made = shell.folder / "gallery"
    told = shell.script(
        f"python -m docs.gallery.{Path(script).stem} --short --into gallery --url http://127.0.0.1:8000",
        python=False,
        place=f"docs/gallery/{script}",
    )
    assert told.strip()
    picture = made / f"{Path(script).stem}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_pages_that_are_run_elsewhere_exist() -> None:
    for page, test in RUN_ELSEWHERE.items():
        assert (ROOT / page).is_file()
        assert page.rpartition("/")[2] in (ROOT / test).read_text("utf-8")


def test_blocks_that_are_listed_as_not_run_exist() -> None:
    for page, reasons in NOT_RUN.items():
        first = {block.text.splitlines()[0] for block in blocks_of(page)}
        assert set(reasons) <= first, page
        assert all(reasons.values())


def test_a_block_without_a_language_holds_no_commands() -> None:
    """A reader copies a block of commands with the colours of a shell, and the test above needs to know it."""
    listed = {page for page in pages() if page not in NOT_RUN and page not in RUN_ELSEWHERE}
    bare = [block.place for page in listed for block in blocks_of(page) if block.is_shell and not block.language]
    assert not bare, f"label these blocks as bash: {', '.join(bare)}"
