"""Which files of a folder are scored, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.offline.sources import files_of
from service.offline.unusable import UnusableFile

KNOWN = (".png", ".csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for name in ("b.png", "a/z.PNG", "a/b/c.csv", "a-b.png", "letter.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files_of(folder, KNOWN)]


def test_files_of_known_names_come_folder_by_folder(folder: Path) -> None:
    assert names(folder) == ["a/b/c.csv", "a/z.PNG", "a-b.png", "b.png"]


def test_links_to_files_count_and_all_others_are_passed_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.png").touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "more/hidden.png").touch()
    (folder / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "gone.png").symlink_to(tmp_path / "nothing.png")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "circle.txt").symlink_to(folder / "circle.txt")
    (folder / "more").symlink_to(tmp_path / "more")
    (folder / "folder.png").mkdir()
    assert names(folder) == ["a/b/c.csv", "a/z.PNG", "a-b.png", "b.png", "link.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every directory")
def test_a_folder_that_may_not_be_read_is_left_out(folder: Path) -> None:
    (folder / "a").chmod(0)
    try:
        assert names(folder) == ["a-b.png", "b.png"]
    finally:
        (folder / "a").chmod(0o755)


def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="holds no file that ends in"):
        files_of(tmp_path, KNOWN)
