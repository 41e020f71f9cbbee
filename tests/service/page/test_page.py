"""The page in a real browser: the main path of each tab but Score, on a phone and in dark mode too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service import keys
from tests.service.page.browser import TOKEN, faults, opened, overflow, press, read_status
from tests.service.servers import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TABS = ("sample", "score", "inpaint", "models", "service")


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
        page.get_by_text("Ready · cpu answers · 5 models").wait_for()
        for _ in range(3):
            server.post("/score?model=moons", json={"items": [[0.5, 0.25]]})
            page.wait_for_timeout(1000)
        page.wait_for_function("() => document.querySelectorAll('.chart .line').length >= 3")
        alarms = page.locator("tr", has_text="moons@6").inner_text().split("\t")
        assert float(alarms[5].removesuffix(" %")) > 0
        drift = page.locator("article", has_text="moons@6")
        drift.get_by_text("No block of items has been scored yet.").wait_for()


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
