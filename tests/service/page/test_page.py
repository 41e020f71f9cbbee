"""The page in a real browser: the main path of each tab, on a phone and in dark mode too."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from service import keys
from tests.service.page.browser import executable, faults, opened, overflow
from tests.service.servers import ROOT, Server, serving
from tests.service.tables import publish_homes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright (pip)")
pytestmark = [
    pytest.mark.skipif(executable() is None, reason="no browser is installed: apt-get install chromium"),
]

TOKEN = "a token of the administrator, of 32 characters and more"
TABS = ("sample", "score", "inpaint", "models", "service")
POINTS = "x,y\n1,-0.5\n0,1\n40,-40\n1,two\n"
HOMES = "id,height,rooms,colour,sold\n1,162,3,red,2024-01-02\n2,160,2,green,2022-05-01\n3,900,2,blue,2022-05-01\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of two of the models that ship, `mnist-nice` (the default) and `moons`, and of the table `homes`."""
    folder = tmp_path_factory.mktemp("page")
    publish_homes(folder / "store", calibrated=True)
    for name in ("mnist-nice", "moons"):
        shutil.copytree(ROOT / "model_store" / "models" / name, folder / "store" / name)
    token = folder / "token"
    token.touch(0o600)
    token.write_text(TOKEN)
    with serving(folder / "store", folder / "log", default_model="mnist-nice", admin_token_file=token) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        # A container has no user namespaces for Chromium's sandbox; the page is our own.
        launched = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        yield launched
        launched.close()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def read_status(page: Page, text: str) -> None:
    page.wait_for_function("text => document.getElementById('status').textContent.includes(text)", arg=text)


@pytest.mark.parametrize(
    ("model", "dark", "phone"),
    [
        ("mnist-nice", False, False),
        ("mnist-nice", True, True),
        ("moons", True, False),
        ("moons", False, True),
        ("homes", False, True),
    ],
)
def test_every_tab_is_accessible_and_no_wider_than_its_window(
    server: Server, browser: Browser, model: str, dark: bool, phone: bool
) -> None:
    with opened(browser, f"{server.address}/#sample?model={model}&seed=1", dark=dark, phone=phone) as page:
        read_status(page, "drawn")
        for name in TABS:
            page.locator(f"#tab-{name}").click()
            page.wait_for_selector(f"main.{name} > *")
            assert not faults(page), name
            assert overflow(page) <= 0, name


def test_the_gallery_grows_and_the_same_seed_draws_the_same(server: Server, browser: Browser) -> None:
    address = f"{server.address}/#sample?model=mnist-nice&seed=7&temperature=0.8"
    with opened(browser, address) as page:
        page.wait_for_selector(".tile")
        first = page.evaluate("document.querySelector('.tile canvas').toDataURL()")
        page.mouse.wheel(0, 10_000)
        page.wait_for_function("() => document.querySelectorAll('.tile').length >= 144")
        page.reload()
        page.wait_for_selector(".tile")
        assert page.evaluate("document.querySelector('.tile canvas').toDataURL()") == first
        press(page, "Draw new ones")
        page.wait_for_function(
            "first => [...document.querySelectorAll('.tile canvas')].slice(0, 1).some(c => c.toDataURL() !== first)",
            arg=first,
        )
        assert "seed=7&" not in page.url


def test_a_walk_between_two_samples_begins_and_ends_at_them(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#sample?model=mnist-nice&seed=7", phone=True) as page:
        tiles = page.locator(".tile")
        tiles.nth(1).click()
        tiles.nth(4).click()
        press(page, "Walk between two")
        page.wait_for_selector(".way")
        slider, pixels = page.get_by_label("Place on the way"), "one => one.toDataURL()"
        seen = []
        for place in ("0", "16", "32"):
            slider.fill(place)
            seen.append(page.locator(".way .grow canvas").evaluate(pixels))
        assert len(set(seen)) == 3
        assert seen[0] == tiles.nth(1).locator("canvas").evaluate(pixels)
        assert seen[2] == tiles.nth(4).locator("canvas").evaluate(pixels)


def test_points_are_picked_from_the_plane_and_scored(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#sample?model=moons&seed=7", phone=True, dark=True) as page:
        read_status(page, "1000 points")
        page.locator("canvas.plane").click(position={"x": 120, "y": 120})
        page.get_by_text("1 picked").wait_for()
        page.get_by_label("Zoom in").click()
        press(page, "Score")
        page.wait_for_selector(".verdict")
        assert "model=moons" in page.url
        page.locator("canvas.plane").click(position={"x": 10, "y": 10})
        page.get_by_label("the point", exact=True).get_by_text("▲ anomalous").wait_for()


def test_a_drawing_is_scored_and_the_rate_decides_the_verdict(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#score?model=mnist-nice") as page:
        box = page.locator(".pad").bounding_box()
        assert box is not None
        for top in range(20, 200, 20):  # stripes are no digit
            page.mouse.move(box["x"] + 20, box["y"] + top)
            page.mouse.down()
            page.mouse.move(box["x"] + 200, box["y"] + top, steps=4)
            page.mouse.up()
        press(page, "Score the drawing")
        page.get_by_text("This item is flagged").wait_for()
        page.locator("details summary").click()
        assert page.locator("details tbody tr").count() >= 3
        assert "are at least as atypical. The line of alarms is at 1 in 100." in (
            page.locator(".histogram").get_attribute("aria-label") or ""
        )
        page.locator("[name=alpha]").fill("0")
        page.get_by_text("No verdict at 0.01 %").wait_for()
        assert "alpha=0.0001" in page.url
        press(page, "Back to 1 %")
        page.get_by_text("This item is flagged").wait_for()


def test_a_map_lies_over_the_picture_with_boxes_of_its_regions(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    with Image.open(ROOT / "docs" / "digit.png") as digit:
        digit.paste(255, (2, 2, 8, 8))
        digit.save(tmp_path / "digit.png")
    with opened(browser, f"{server.address}/#score?model=mnist-nice&alpha=0.5", phone=True, dark=True) as page:
        picture = tmp_path / "digit.png"
        page.set_input_files("main input[type=file]", picture)
        page.wait_for_selector(".heat canvas.over")
        told = server.post(
            "/score?model=mnist-nice&map=true&alpha=0.5",
            content=picture.read_bytes(),
            headers={"content-type": "image/png"},
        ).json()["items"][0]["regions"]
        assert told
        assert page.locator(".heat rect.frame").count() == len(told)
        top, left, _, _ = told[0]["box"]
        box = page.locator(".heat rect.frame").first
        assert (box.get_attribute("x"), box.get_attribute("y")) == (str(left), str(top))
        page.get_by_label("Map over the picture").fill("25")
        assert page.locator(".heat canvas.over").evaluate("one => one.style.opacity") == "0.25"
        assert "map=25" in page.url
        page.get_by_label("Boxes").uncheck()
        assert page.locator(".heat rect").count() == 0
        assert not faults(page)


def test_a_picture_that_is_dropped_or_chosen_is_scored(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#score?model=mnist-nice", dark=True) as page:
        page.set_input_files("main input[type=file]", ROOT / "docs" / "digit.png")
        page.get_by_text("This item is not flagged").wait_for()
        shown = float(
            page.locator(".verdict small").nth(1).inner_text().split("log-likelihood ")[1].split()[0].replace(",", "")
        )
        told = server.post(
            "/score?model=mnist-nice",
            content=(ROOT / "docs" / "digit.png").read_bytes(),
            headers={"content-type": "image/png"},
        ).json()["items"][0]
        assert shown == pytest.approx(told["log_likelihood"], rel=1e-4)


def test_a_photograph_of_ink_becomes_a_centred_digit_on_black(server: Server, browser: Browser, tmp_path: Path) -> None:
    photograph = Image.linear_gradient("L").resize((500, 400)).point(lambda level: 150 + level // 5)  # a shadow
    ImageDraw.Draw(photograph).line([(60, 60), (160, 60), (90, 200)], fill=40, width=22)
    photograph.save(tmp_path / "seven.jpg")
    with opened(browser, f"{server.address}/#score?model=mnist-nice") as page:
        page.set_input_files("main input[type=file]", tmp_path / "seven.jpg")
        page.get_by_text("seven.jpg (ink on black, centred)").wait_for()
        picture = page.get_by_label("seven.jpg (ink on black, centred)").locator("canvas").first
        levels = np.array(picture.evaluate("one => [...one.getContext('2d').getImageData(0, 0, 28, 28).data]"))
        rows, columns = np.nonzero(levels.reshape(28, 28, 4)[..., 0] > 128)
        assert 18 <= rows.max() - rows.min() + 1 <= 21
        assert 10 < columns.mean() < 18
        assert len(rows) < 200


def test_a_csv_becomes_a_table_that_is_sorted_and_downloaded(server: Server, browser: Browser, tmp_path: Path) -> None:
    with opened(browser, f"{server.address}/#score?model=moons", phone=True) as page:
        file = {"name": "points.csv", "mimeType": "text/csv", "buffer": POINTS.encode()}
        page.set_input_files("main input[type=file]", file)  # type: ignore[arg-type]
        page.get_by_text("1 of these 3 items is flagged").wait_for()
        assert page.locator("tbody tr").first.inner_text().startswith("3▸\t▲ anomalous")
        assert "column 'y' 'two' is no number" in page.locator("tr.bad").inner_text()
        press(page, "x")
        assert page.locator("tbody tr").first.inner_text().startswith("2")
        with page.expect_download() as saved:
            press(page, "Download as CSV")
        saved.value.save_as(tmp_path / "verdicts.csv")
        lines = (tmp_path / "verdicts.csv").read_text().splitlines()
        assert lines[0] == "row,x,y,p_value,log_likelihood,anomalous,reason"
        assert [line.split(",")[5] for line in lines[1:]] == ["false", "false", "true", ""]
        wrong = file | {"buffer": b"x,y\n1,two\n"}
        page.set_input_files("main input[type=file]", wrong)  # type: ignore[arg-type]
        page.get_by_text("No row of points.csv can be scored: row 1: column 'y' 'two' is no number").wait_for()


def test_rows_of_a_table_are_found_by_name_and_explained(server: Server, browser: Browser, tmp_path: Path) -> None:
    with opened(browser, f"{server.address}/#score?model=homes", dark=True) as page:
        file = {"name": "homes.csv", "mimeType": "text/csv", "buffer": HOMES.encode()}
        page.set_input_files("main input[type=file]", file)  # type: ignore[arg-type]
        page.get_by_text("1 of these 2 items is flagged").wait_for()
        assert "column 'colour' 'green' is not one of blue, red" in page.locator("tr.bad").inner_text()
        page.get_by_label("Why row 3").click()
        column = page.locator(".column").first
        column.wait_for()
        assert column.inner_text().startswith("height")
        assert "found 900, expected " in column.inner_text()
        assert not faults(page)
        with page.expect_download() as saved:
            press(page, "Download as CSV")
        saved.value.save_as(tmp_path / "verdicts.csv")
        last = (tmp_path / "verdicts.csv").read_text().splitlines()[-1].split(",")
        assert (last[:2], last[-3:]) == (["3", "3"], ["true", "height", ""])


def test_one_row_is_filled_in_scored_and_its_missing_cell_drawn(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#score?model=homes", phone=True) as page:
        press(page, "Take a sample")
        page.wait_for_function("() => [...document.querySelectorAll('.form input')].every(one => one.value)")
        page.get_by_label("height", exact=True).fill("900")
        press(page, "Score the row")
        page.locator(".verdict .column").first.get_by_text("found 900").wait_for()
        assert page.locator(".verdict .column").count() == 4
        press(page, "Inpaint")
        page.get_by_label("height", exact=True).fill("")
        page.get_by_label("Steps").fill("10")
        press(page, "Fill in")
        page.wait_for_selector(".filled")
        assert page.locator("tbody tr").count() == 4


def test_a_mask_is_painted_and_filled_in(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#inpaint?model=mnist-nice&steps=30&n=3&seed=1", phone=True) as page:
        press(page, "Fill in")
        page.get_by_text("Paint over what is to be filled in, or choose a preset, first").wait_for()
        box = page.locator(".over").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 60, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 250, box["y"] + 250, steps=5)
        page.mouse.up()
        press(page, "Undo")
        page.get_by_label("Mask: bottom").click()
        press(page, "Fill in")
        page.wait_for_selector(".completion:nth-child(4)")
        read_status(page, "Done")
        assert page.locator(".chart .line").count() == 3
        assert page.get_by_label("what was given").count() == 1
        with page.expect_download() as saved:
            page.get_by_label("Save completion 1").click()
        assert re.fullmatch(r"mnist-nice-\d+-1-1\.png", saved.value.suggested_filename)
        page.reload()  # the address names the task
        page.wait_for_selector(".completion:nth-child(3)")


def test_an_inpainting_is_stopped_and_keeps_the_best_so_far(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#inpaint?model=mnist-nice&steps=2000&method=langevin&n=1&seed=1") as page:
        page.get_by_label("Mask: left").click()
        press(page, "Fill in")
        page.wait_for_selector(".preview[src]")
        press(page, "Stop")
        read_status(page, "Stopped")
        assert page.locator(".completion").count() == 1


def test_a_coordinate_is_filled_in(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#inpaint?model=moons&steps=20&n=2&seed=1", dark=True) as page:
        press(page, "Fill in")
        page.wait_for_selector(".completion:nth-child(2)")
        assert page.locator(".completion code").first.inner_text().startswith("0.5, ")


def test_a_card_is_rendered_and_a_model_unloaded_and_loaded(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#models?model=moons") as page:
        page.wait_for_function(
            "() => [...document.querySelectorAll('.card-text img')].some(one => one.naturalWidth > 100)"
        )
        assert page.locator(".card-text h3", has_text="Training").count() == 1
        assert page.locator(".card-text li", has_text="couplings").inner_text() == "couplings: 6"
        assert "](" not in page.locator(".card-text").inner_text()
        page.get_by_text("Load and unload").click()
        page.get_by_label("Administrator's token").fill(TOKEN)
        press(page, "Unload")
        read_status(page, "moons is served no longer")
        press(page, "Load")
        read_status(page, "moons@6 serves")


def test_the_service_is_told_live(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#service") as page:
        page.get_by_text("Ready · cpu answers · 3 models").wait_for()
        for _ in range(3):
            server.post("/score?model=moons", json={"items": [[0.5, 0.25]]})
            page.wait_for_timeout(1000)
        page.wait_for_function("() => document.querySelectorAll('.chart .line').length >= 3")
        alarms = page.locator("tr", has_text="moons@6").inner_text().split("\t")
        assert float(alarms[5].removesuffix(" %")) > 0
        page.get_by_text("No block of items has been scored yet.").wait_for()


def test_an_error_is_told_in_the_words_of_the_problem(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#inpaint?model=moons&steps=99999", status=422) as page:
        press(page, "Fill in")
        page.get_by_role("alert").get_by_text("steps").wait_for()


def test_the_keyboard_goes_from_tab_to_tab(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#sample?model=moons") as page:
        page.locator("#tab-sample").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("main.score")
        assert page.evaluate("document.activeElement.id") == "tab-score"
        page.go_back()
        page.wait_for_selector("main.sample")


def test_a_key_is_asked_for_where_keys_are_on(browser: Browser, store: Path, tmp_path: Path) -> None:
    key = keys.create(tmp_path / "keys.json", "browser", ["infer", "read"])
    with (
        serving(store, tmp_path / "log", ready=False, keys_file=tmp_path / "keys.json") as server,
        opened(browser, f"{server.address}/", status=401) as page,
    ):
        page.get_by_text("This service asks for an API key").wait_for()
        page.get_by_label("Key", exact=True).fill(key)
        press(page, "Use it")
        page.wait_for_selector(".tile")
