"""Folders of pictures: which files are pictures, what is found of them, and what is told of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import Preparation
from tests.service.pictures import surface
from trainer.data import picture_folder
from trainer.errors import DataError


def test_a_folder_of_colour_and_deep_pictures_is_described(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30), 1000, np.uint16)).save(tmp_path / "deep.png")
    Image.new("L", (30, 20)).save(tmp_path / "grey.png")
    found = picture_folder.look(tmp_path)
    assert (found.colours, found.bits, found.sizes) == (1, 10, ((30, 20), (30, 20)))
    Image.new("CMYK", (40, 20)).save(tmp_path / "colour.jpg")
    found = picture_folder.look(tmp_path)
    assert found.colours == 3
    assert found.told()[1:] == ["in colour: 1; so 2 in grey count as colour too", "  colour.jpg"]
    with pytest.raises(DataError, match="must be a folder"):
        picture_folder.look(tmp_path / "grey.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        picture_folder.look(tmp_path / "empty")


def test_hidden_files_are_no_pictures_and_every_pnm_is_one(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "good"
    (folder / ".thumbnails").mkdir(parents=True)
    picture = Image.new("L", (30, 20))
    for name in ("a.png", "b.pnm", ".thumbnails/a.png"):
        picture.save(folder / name)
    picture.convert("1").save(folder / "c.pbm")
    (folder / "._a.png").write_bytes(b"\0\5\x16\7")
    found = picture_folder.look(folder)
    assert [path.name for path in found.paths] == ["a.png", "b.pnm", "c.pbm"]
    assert not found.damaged


def test_of_several_pages_the_first_is_taken_and_linked_folders_are_not_followed(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    pages = [Image.new("L", (30, 20), level) for level in (50, 90)]
    for name in ("pages.tif", "moving.gif"):
        pages[0].save(good / name, save_all=True, append_images=pages[1:])
    (tmp_path / "others").mkdir()
    pages[1].save(tmp_path / "others/other.png")
    (good / "linked").symlink_to(tmp_path / "others")
    found = picture_folder.look(good)
    assert [path.name for path in found.paths] == ["moving.gif", "pages.tif"]
    _, (pixels,) = picture_folder.read(found, Preparation(30, 1))
    assert set(pixels.flatten().tolist()) == {50}


def test_pictures_with_damaged_exif_are_read_as_they_lie(tmp_path: Path) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "damaged.png", exif=b"Exif\0\0garbage-not")
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.new("L", (30, 20)).save(tmp_path / "unknown.jpg", exif=exif)
    found = picture_folder.look(tmp_path)
    assert (found.sizes, found.damaged) == (((30, 20), (30, 20)), ())


def test_why_a_file_is_left_out_does_not_tell_where_it_lies(tmp_path: Path) -> None:
    for number, item in enumerate(surface(30)):
        Image.fromarray(item).save(tmp_path / f"{number}.png")
    (tmp_path / "zz.png").write_bytes(b"no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    found = picture_folder.look(tmp_path)
    assert found.damaged[-1] == "zz.png: is not a readable picture: its content is that of no format that is known"
    assert not any(str(tmp_path) in reason for reason in found.damaged)


def test_a_file_that_vanishes_after_the_look_is_named(tmp_path: Path) -> None:
    for number, item in enumerate(surface(3)):
        Image.fromarray(item).save(tmp_path / f"{number}.png")
    found = picture_folder.look(tmp_path)
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png: is not a readable picture: No such file"):
        picture_folder.read(found, Preparation(64, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_turned_tiff_is_upright(tmp_path: Path, orientation: int, compression: str | None, bits: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (20, 24)).astype(np.uint8 if bits == 8 else np.uint16)
    exif = Image.Exif()
    exif[0x112] = orientation
    (tmp_path / "good").mkdir()
    Image.fromarray(stored).save(tmp_path / "good/a.tif", exif=exif, compression=compression)
    found = picture_folder.look(tmp_path / "good")
    _, (pixels,) = picture_folder.read(found, Preparation(24, 1))
    # By the standard of EXIF: mirrored, turned by half, both, transposed, turned right, transposed otherwise, left.
    upright = [
        stored, stored[:, ::-1], stored[::-1, ::-1], stored[::-1], stored.T, np.rot90(stored, -1),
        stored[::-1, ::-1].T, np.rot90(stored),
    ][orientation - 1]  # fmt: skip
    assert np.array_equal(pixels, upright.astype(np.uint8))


def test_files_of_other_kinds_and_folders_that_cannot_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.JFIF"):
        Image.new("L", (30, 20)).save(tmp_path / name, format="JPEG" if "J" in name else None)
    for name in ("c.heic", "d.heic", "notes"):
        (tmp_path / name).write_text("no picture")
    found = picture_folder.look(tmp_path)
    assert [path.name for path in found.paths] == ["a.png", "b.JFIF"]
    assert found.told()[-1] == "files of other kinds, left out: 3: .heic (2), no ending (1)"

    def scandir(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        picture_folder.look(tmp_path)
