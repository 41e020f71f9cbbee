"""The Score tab in a real browser: drawings, pictures with their maps, files of rows, one row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.service.page.browser import faults, opened, press
from tests.service.pictures import ALIGNED, surface, with_hole
from tests.service.servers import ROOT, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

POINTS = "x,y\n1,-0.5\n0,1\n40,-40\n1,two\n"
HOMES = "id,height,rooms,colour,sold\n1,162,3,red,2024-01-02\n2,160,2,green,2022-05-01\n3,900,2,blue,2022-05-01\n"


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


def test_a_picture_of_another_size_is_sent_as_it_is_and_its_map_covers_it(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    picture = Image.fromarray(with_hole(surface(1, seed=5, least=28, most=32)[0])).resize((110, 120), 0)
    picture.save(tmp_path / "plate.png")  # the service looks at 44 x 48 pixels of it
    with opened(browser, f"{server.address}/#score?model=surface&alpha=0.1", phone=True) as page:
        page.set_input_files("main input[type=file]", tmp_path / "plate.png")
        over = page.locator(".heat canvas.over")
        over.wait_for()
        told = server.post(
            "/score?model=surface&map=true&alpha=0.1",
            content=(tmp_path / "plate.png").read_bytes(),
            headers={"content-type": "image/png"},
        ).json()["items"][0]
        assert told["regions"]
        assert page.locator(".heat rect.frame").count() == len(told["regions"])
        assert page.locator(".heat svg").get_attribute("viewBox") == "0 0 110 120"
        assert over.evaluate("one => [one.width, one.height]") == [44, 48]
        assert f"p-value {told['p_value']:.3g}" in page.locator(".verdict").inner_text()
        assert not faults(page)


def test_an_array_of_pictures_of_any_size_is_scored(server: Server, browser: Browser, tmp_path: Path) -> None:
    items = np.stack(surface(2, seed=5, least=26, most=27))
    np.save(tmp_path / "some.npy", items)
    np.save(tmp_path / "flat.npy", items[0, 0])
    with opened(browser, f"{server.address}/#score?model=surface") as page:
        page.set_input_files("main input[type=file]", tmp_path / "some.npy")
        page.get_by_role("article", name="some.npy, item 2").wait_for()
        page.set_input_files("main input[type=file]", tmp_path / "flat.npy")
        page.get_by_text("Flat.npy holds an array of 26, and pictures of surface are height × width").wait_for()
        assert page.locator("article.verdict").count() == 2
        assert not faults(page)


def test_pieces_of_aligned_parts_are_drawn_and_not_scored(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#sample?model=parts&seed=1") as page:
        page.locator("main button:has(canvas)").first.click()
        page.get_by_text("1 picked:").wait_for()
        assert page.get_by_role("button", name="Score", exact=True).is_disabled()
        assert page.get_by_role("button", name="Inpaint", exact=True).is_enabled()


def test_of_several_pictures_those_that_cannot_be_used_are_named_and_the_others_scored(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    good = surface(2, seed=5, least=28, most=32)
    Image.fromarray(good[0]).save(tmp_path / "good.png")
    Image.fromarray(good[0][:3]).save(tmp_path / "narrow.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    Image.fromarray(good[1]).resize((120, 120)).save(tmp_path / "large.png")
    with opened(browser, f"{server.address}/#score?model=surface", status=422) as page:
        names = ("good.png", "narrow.png", "cut.png", "large.png")
        page.set_input_files("main input[type=file]", [tmp_path / name for name in names])
        page.get_by_text("cut.png is no picture that this browser can read").wait_for()
        told = page.locator("#problem").inner_text()
        assert told.startswith("narrow.png is ")
        assert page.get_by_role("article").count() == 2
        assert "Note: 1 of 2 pictures were scaled down" in page.locator(".summary").inner_text()


def test_a_deep_picture_is_shown_as_the_model_sees_it(server: Server, browser: Browser, tmp_path: Path) -> None:
    deep = np.full((30, 30), 2000, dtype=np.uint16)  # of 12 bits, which the model takes
    Image.fromarray(deep).save(tmp_path / "deep.png")
    with opened(browser, f"{server.address}/#score?model=surface") as page:
        page.set_input_files("main input[type=file]", tmp_path / "deep.png")
        shown = page.locator(".heat canvas").first
        shown.wait_for()
        level = shown.evaluate("one => one.getContext('2d').getImageData(9, 9, 1, 1).data[0]")
        assert 100 < level < 140
    with opened(browser, f"{server.address}/#inpaint?model=surface") as page:
        page.set_input_files("main input[type=file]", tmp_path / "deep.png")
        page.get_by_text("deep.png has 16 bits, of which a browser keeps 8").wait_for()


def test_the_size_of_aligned_parts_is_told(server: Server, browser: Browser) -> None:
    with opened(browser, f"{server.address}/#score?model=parts") as page:
        page.get_by_text(f"{ALIGNED} × {ALIGNED} pixels (height × width), or larger").wait_for()
        options = page.locator("select").first.inner_text().split("\n")
        assert f"parts ({ALIGNED} × {ALIGNED})" in options
        assert "surface (any size)" in options


def test_a_picture_that_is_refused_does_not_hinder_those_after_it(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    good = surface(2, seed=5, least=28, most=32)
    Image.fromarray(good[0]).save(tmp_path / "good.png")
    Image.fromarray(good[1]).save(tmp_path / "next.png")
    Image.fromarray(good[0][:3]).save(tmp_path / "narrow.png")  # three rows of pixels
    with opened(browser, f"{server.address}/#score?model=surface", status=422) as page:
        page.set_input_files("main input[type=file]", tmp_path / "good.png")
        page.get_by_role("article", name="good.png").wait_for()
        page.set_input_files("main input[type=file]", tmp_path / "narrow.png")
        page.locator("#problem:not([hidden])").wait_for()
        page.set_input_files("main input[type=file]", tmp_path / "next.png")
        page.get_by_role("article", name="next.png").wait_for()
        assert page.locator(".verdict").count() == 2


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
