"""The GPU's benchmark in small, on the CPU: every section runs, and its figures are kept after each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.gpu import __main__ as bench
from bench.gpu import ceilings
from bench.gpu.figures import Figures, Row

SECTIONS = ("ceilings", "precision", "programs", "company", "http")


def test_every_section_of_the_service_is_measured_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "gpu.json"
    bench.main(["--device", "cpu", "--small", "--only", *SECTIONS, "--json", str(kept)])
    figures = json.loads(kept.read_text("utf-8"))
    assert figures["about"]["card"] == "CPU"
    assert {row["what"] for row in figures["ceilings"]} == {
        "product in bfloat16",
        "product in tf32",
        "product in float32",
        "copy",
    }
    # What nets in bfloat16 change grows with the number of pixels: cifar10 has 3,072 values, the others 784 at most.
    most = {row["model"]: 8 if row["model"] == "cifar10" else 1 for row in figures["precision"]}
    assert all(row["worst_nats"] < most[row["model"]] for row in figures["precision"])
    assert {row["kind"] for row in figures["programs"]} == {
        "sample",
        "score",
        "score_map",
        "encode",
        "decode",
        "ascent",
    }
    assert all(row["kept"] for row in figures["company"])
    assert all(row["requests_per_second"] > 0 and not row["errors"] for row in figures["http"])
    shown = capsys.readouterr().out
    assert all(f"### {name.capitalize()}" in shown for name in SECTIONS)


def test_training_steps_are_measured(tmp_path: Path) -> None:
    kept = tmp_path / "gpu.json"
    bench.main(["--device", "cpu", "--small", "--only", "steps", "--json", str(kept)])
    presets = {row["preset"] for row in json.loads(kept.read_text("utf-8"))["steps"]}
    assert presets == {"cifar10"}


def test_a_section_that_fails_does_not_lose_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Figures) -> Iterator[Row]:
        yield {"what": "before"}
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(bench, "SECTIONS", {"broken": broken, "ceilings": ceilings.measure})
    kept = tmp_path / "gpu.json"
    with pytest.raises(SystemExit):
        bench.main(["--device", "cpu", "--small", "--json", str(kept)])
    figures = json.loads(kept.read_text("utf-8"))
    assert figures["broken"] == [{"what": "before"}]
    assert figures["ceilings"]


@pytest.mark.parametrize("part", [["--only", "ceilings"], ["--small"]])
def test_a_part_of_the_figures_does_not_replace_a_page(part: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--device", "cpu", *part, "--into", "gpu.md"])
    assert f"cannot be used with {part[0]}" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_and_no_page_is_written(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    with pytest.raises(SystemExit, match="no GPU is available; --device cpu --small tries the code"):
        bench.main(["--into", str(page)])
    assert not page.exists()
