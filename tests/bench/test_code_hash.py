"""Kept figures name the code that measured them, and the code that they depend on is all listed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

from bench import code_hash, pictures, scenes
from bench.code_hash import code_of_run, kept_figures, rows_of_other_code
from bench.tables import peers_code

REPOSITORY = Path(__file__).parents[2]
IMPORTED = """
import importlib, json, pathlib, sys
importlib.import_module(sys.argv[1])
files = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
print(json.dumps([str(file) for file in map(pathlib.Path, files) if file.is_relative_to(sys.argv[2])]))
"""
"""Prints the files of the modules that a module brings with it, those of a folder."""
# What comes along since a package imports all of its parts, and computes nothing that is measured here.
OF_NOBODY = [
    "bench/__init__.py",
    "bench/bands.py",
    "bench/code_hash.py",
    "bench/page.py",
    "flows/__init__.py",
    "flows/errors.py",
    "flows/inpainting/*",
    "model_store/*",
    "pictures/*",
    "service/*",
    "trainer/__init__.py",
    "trainer/data/__init__.py",
    "trainer/data/arrays.py",
    "trainer/data/cifar10_images.py",
    "trainer/data/files.py",
    "trainer/data/folder.py",
    "trainer/data/idx*.py",
    "trainer/data/mat.py",
    "trainer/data/names.py",
    "trainer/data/svhn_images.py",
    "trainer/data/toronto_faces.py",
    "trainer/data/toys.py",
    "trainer/data/vectors.py",
    "trainer/errors.py",
    "trainer/presets/*",
    "trainer/publish/__init__.py",
    "trainer/publish/store_location.py",
    "trainer/report/*",
    "trainer/run/__init__.py",
    "trainer/run/run_directory.py",
    "trainer/run/start.py",
]
OF_NO_TABLE = [
    *OF_NOBODY,
    "bench/tables/__init__.py",
    "flows/architectures/glow.py",
    "flows/architectures/lattice*.py",
    "flows/architectures/nice.py",
    "flows/architectures/realnvp.py",
    "flows/architectures/spline.py",
    "flows/nets/__init__.py",
    "flows/nets/conv.py",
    "flows/nets/interpolation.py",
    "flows/nets/lattice_net.py",
    "flows/nets/packed.py",
    "flows/nets/pointwise.py",
    "flows/nets/precision.py",
    "flows/nets/residual.py",
    "flows/tiles.py",
    "tables/*",
    "trainer/publish/calibration.py",
    "trainer/publish/export.py",
    "trainer/publish/initial_draws.py",
    "trainer/publish/map_calibration.py",
    "trainer/run/curve.py",
    "trainer/run/finished.py",
]
OF_NO_PICTURE = [
    *OF_NOBODY,
    "bench/pictures_report.py",
    "flows/stacked.py",
    "tables/*",
    "trainer/data/dataset.py",
    "trainer/data/groups.py",
    "trainer/data/own_data.py",
]


def imported(module: str) -> list[str]:
    command = [sys.executable, "-c", IMPORTED, module, str(REPOSITORY)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY).stdout)
    paths = (Path(file).relative_to(REPOSITORY) for file in found)
    return sorted(path.as_posix() for path in paths if not path.parts[0].startswith("."))


def covered(file: str, places: Sequence[str]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in places)


def forgotten(module: str, measured: Sequence[str], of_no_use: Sequence[str]) -> list[str]:
    """The files that a measurement imports, and that neither its code nor what is of no use to it names."""
    return [
        file
        for file in imported(module)
        if not covered(file, measured) and not any(fnmatch(file, pattern) for pattern in of_no_use)
    ]


def test_all_that_the_measurement_of_tables_imports_is_told_apart() -> None:
    pytest.importorskip("sklearn", reason="the detector wants it")
    measured = importlib.import_module("bench.tables.__main__").MEASURED
    assert forgotten("bench.tables.jobs", measured, OF_NO_TABLE) == []


@pytest.mark.parametrize("module", [pictures, scenes])
def test_all_that_the_measurements_of_pictures_import_is_told_apart(module: ModuleType) -> None:
    assert forgotten(module.__name__, module.MEASURED, OF_NO_PICTURE) == []


def test_all_that_the_peers_import_is_told_apart() -> None:
    of_no_use = ["bench/__init__.py", "bench/code_hash.py", "bench/tables/__init__.py", "bench/tables/peers_code.py"]
    assert forgotten("bench.tables.peers", peers_code.MEASURED, of_no_use) == []


@pytest.mark.parametrize("measured", [pictures.MEASURED, scenes.MEASURED, peers_code.MEASURED])
def test_the_code_that_figures_depend_on_is_there(measured: Sequence[str]) -> None:
    assert [place for place in measured if not (REPOSITORY / place).exists()] == []


def test_a_hash_is_that_of_files_and_of_python_below_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_hash, "_ROOT", tmp_path)
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "one.txt").write_text("1")
    (tmp_path / "folder" / "below" / "two.py").write_text("2")
    found = code_hash.code_hash(["one.txt", "folder"])
    (tmp_path / "folder" / "page.md").write_text("3")
    assert code_hash.code_hash(["one.txt", "folder"]) == found
    (tmp_path / "folder" / "below" / "two.py").write_text("4")
    assert code_hash.code_hash(["one.txt", "folder"]) != found


@pytest.mark.parametrize("kept", [{"n": 1}, {"n": 1, "code": "old"}, {"n": 1, "code": None}])
def test_figures_of_other_code_are_used_and_told(
    kept: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "brick-64-9.json"
    assert kept_figures(file, "new", "brick 64") is None
    file.write_text(json.dumps(kept))
    assert kept_figures(file, "new", "brick 64") == kept
    told = capsys.readouterr().err
    assert told.startswith("brick 64: kept figures are not known to be of this code")
    assert f"delete {file} and {tmp_path / 'brick-64-9'} " in told
    file.write_text(json.dumps({**kept, "code": "new"}))
    kept_figures(file, "new", "brick 64")
    assert capsys.readouterr().err == ""


def test_rows_of_other_code_are_counted_below_a_table() -> None:
    new, old = {"code": "new"}, {"n": 1}
    assert list(rows_of_other_code([[new], [new, new]], "new")) == []
    (line,) = rows_of_other_code([[new], [new, old], [old]], "new")
    assert line.endswith("present code: 2 of 3.")


def test_a_run_that_goes_on_is_of_the_code_that_began_it(tmp_path: Path) -> None:
    run = tmp_path / "brick-64-9"
    assert code_of_run(run, "old") == "old"
    run.mkdir()
    assert code_of_run(run, "new") == "old"
    (tmp_path / "before").mkdir()
    assert code_of_run(tmp_path / "before", "new") is None


def test_figures_that_a_run_kept_before_there_were_hashes_are_read(tmp_path: Path) -> None:
    (tmp_path / "brick-64-9.json").write_text('{"alarms": 3}')
    (tmp_path / "scenes-brick-9-known.json").write_text('{"alarms": 0.5}')
    assert pictures.measured("brick", 64, 9, tmp_path, "new") == {"alarms": 3}
    assert scenes.measured("brick", 9, True, tmp_path, "new") == {"alarms": 0.5}
