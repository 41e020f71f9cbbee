"""``sluice-train table``: any table ends in a model that loads and scores, and what it lacks is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import model_store
from model_store import LoadedModel, Store
from trainer.commands import calibrate, tables
from trainer.commands import train as command
from trainer.commands.table_report import told
from trainer.data import OwnData, Splits
from trainer.presets import table
from trainer.publish.export import export
from trainer.run.initial_state import fresh_state
from trainer.run.length import length_of

RNG = np.random.default_rng(0)
Train = Callable[..., Result]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """The command in a folder of its own, for one epoch unless the options say otherwise."""
    monkeypatch.chdir(tmp_path)

    def run(preset: str, path: Path, *options: str) -> Result:
        length = () if {"--epochs", "--minutes"} & set(options) else ("--epochs", "1")
        arguments = [preset, "--data", str(path), "--store", "store", "--device", "cpu", *length, *options]
        return CliRunner().invoke(command.main, arguments)

    return run


def write(path: Path, columns: dict[str, Any]) -> Path:
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines))
    return path


def loaded(result: Result, name: str) -> LoadedModel:
    """The model that the command published, loaded with every check."""
    assert result.exit_code == 0, result.output
    return Store(Path("store")).load(name, 1, bfloat16=True)


def numbers(rows: int, columns: int) -> dict[str, Any]:
    return {f"c{index}": RNG.normal(size=rows).round(4) for index in range(columns)}


@pytest.mark.parametrize(("rows", "columns"), [(40, 3), (59, 5), (112, 34), (178, 13)])
def test_a_small_table_ends_in_a_model_that_loads(tmp_path: Path, train: Train, rows: int, columns: int) -> None:
    result = train("table", write(tmp_path / "small.csv", numbers(rows, columns)))
    model = loaded(result, "small")
    assert ("an alpha of 0.01 cannot be reached" in result.output) == (rows < 99)
    assert f"none is below 1 / {rows + 1:,};" in result.output
    assert ("Of the alphas 0.1, 0.05 and 0.01, 0.1, 0.05 can" in Path("store/small/1/README.md").read_text()) == (
        rows < 99
    )
    assert model.precision == "float32"
    items = torch.zeros(2, columns)
    items[1, 0] = torch.nan
    assert bool(model.serving.log_prob(model.serving.to_continuous(items)).isfinite().all())


def test_integers_words_dates_and_gaps_are_taken(tmp_path: Path, train: Train) -> None:
    rows = 300
    first = RNG.integers(1, 11, rows)
    columns = {
        "a": first,
        "b": np.clip(first + RNG.integers(-1, 2, rows), 1, 10),
        "kind": RNG.choice(["low", "high", "middle"], rows),
        "day": [f"2024-{month:02}-{day:02}" for month, day in zip(*RNG.integers(1, 13, (2, rows)), strict=True)],
        "gaps": np.where(RNG.random(rows) < 0.2, "", RNG.normal(size=rows).round(3).astype(str)),
        "class": RNG.integers(0, 2, rows),
    }
    result = train("table", write(tmp_path / "mixed.csv", columns), "--label", "class")
    model = loaded(result, "mixed")
    assert "left out 'class': the label" in result.output
    assert model.manifest.table is not None
    assert [column.kind for column in model.manifest.table.columns] == [
        "integer",
        "integer",
        "category",
        "time",
        "integer",
    ]
    assert model.manifest.table.left_out == ("class",)
    assert "`kind`" in (Path("store/mixed/1/README.md")).read_text()


def mixed(rows: int) -> dict[str, Any]:
    return {
        **numbers(rows, 2),
        "kind": RNG.choice(["low", "high"], rows),
        "gaps": np.where(RNG.random(rows) < 0.2, "", RNG.normal(size=rows).round(3).astype(str)),
    }


def test_a_table_is_calibrated_again_by_the_models_columns(tmp_path: Path, train: Train) -> None:
    loaded(train("table", write(tmp_path / "mixed.csv", mixed(300)), "--drop", "c1"), "mixed")
    later = {name: list(column) for name, column in reversed(mixed(1500).items())}
    later["kind"][3] = "unheard of"
    result = CliRunner().invoke(
        calibrate.main, ["mixed", "--store", "store", "--data", str(write(tmp_path / "later.csv", later))]
    )
    assert result.exit_code == 0, result.output
    assert "1 of 1,500 rows left out: row 4 column 'kind' 'unheard of' is not one of" in result.output
    model = Store(Path("store")).load("mixed", 2)
    assert model.manifest.table == Store(Path("store")).manifest("mixed", 1).table
    command = str(model.manifest.provenance["command"])
    assert "--drop c1" in command
    assert "--rate" not in command, "the rate follows from the number of rows, not from the user"
    result = CliRunner().invoke(
        calibrate.main, ["mixed", "--store", "store", "--data", str(write(tmp_path / "other.csv", numbers(100, 3)))]
    )
    assert result.exit_code == 1
    assert "other.csv: column 'kind', 'gaps' is missing" in result.output


def test_a_run_that_is_published_with_rows_is_published_anew_without_them(tmp_path: Path, train: Train) -> None:
    path = write(tmp_path / "few.csv", numbers(60, 2))
    assert loaded(train("table", path), "few").manifest.calibration.fit > 0  # type: ignore[union-attr]
    assert "published already, as few@1" in train("table", path).output

    result = train("table", path, "--no-neighbours")
    assert "published few@2" in result.output, result.output
    assert "few@1 holds rows of the table, and stays at store/few/1" in result.output
    without = Store(Path("store")).manifest("few", 2)
    assert without.calibration is not None
    assert without.calibration.fit == 0
    assert str(without.provenance["command"]).endswith(" --no-neighbours")
    assert "--no-neighbours" not in str(Store(Path("store")).manifest("few", 1).provenance["command"])
    assert "published already, as few@2" in train("table", path, "--no-neighbours").output
    assert "published few@3" in train("table", path).output, "the newest version is as was asked last"


def test_an_architecture_without_columns_refuses_missing_cells(tmp_path: Path, train: Train) -> None:
    path = write(tmp_path / "gaps.csv", {"a": RNG.normal(size=60), "b": ["", *RNG.normal(size=59)]})
    result = train("moons-realnvp", path)
    assert result.exit_code == 1
    assert "has missing cells, which realnvp cannot take" in result.output


def test_repeated_rows_are_told(tmp_path: Path, train: Train) -> None:
    columns = {name: np.repeat(column, 10) for name, column in numbers(60, 3).items()}
    result = train("table", write(tmp_path / "again.csv", columns))
    assert "540 rows are nearly the same as an earlier one" in result.output
    loaded(result, "again")


def test_a_flow_that_fails_its_self_test_is_replaced_by_a_simpler_one(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    def strict(run: Any, store: Path | None, name: str, **options: Any) -> Any:
        attempts.append(run.preset.arguments["coupling"])
        if attempts[-1] != "additive":
            raise model_store.FailedSelfTest(f"{name} is not published: the round trip errs by 0.00455")
        return export(run, store, name, **options)

    monkeypatch.setattr(tables, "export", strict)
    result = train("table", write(tmp_path / "hard.csv", numbers(60, 3)))
    model = loaded(result, "hard")
    assert attempts == ["spline", "affine", "additive"]
    assert model.manifest.architecture.arguments["coupling"] == "additive"
    assert "the round trip errs by 0.00455; the weights are kept in runs/table-hard/state.safetensors" in result.output
    assert "Training a simpler flow, of affine couplings, instead" in result.output
    for directory in (".", "affine", "additive"):
        assert (Path("runs/table-hard") / directory / "state.safetensors").is_file()


def test_where_no_flow_passes_the_weights_are_named(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise model_store.FailedSelfTest("hard is not published: the round trip errs")

    monkeypatch.setattr(tables, "export", never)
    result = train("table", write(tmp_path / "hard.csv", numbers(60, 3)))
    assert result.exit_code == 1
    assert "the weights are kept in runs/table-hard/additive/state.safetensors" in result.output


@pytest.mark.parametrize("preset", ["table-nice", "table-spline"])
def test_the_older_presets_take_a_smaller_batch_of_few_rows(tmp_path: Path, train: Train, preset: str) -> None:
    loaded(train(preset, write(tmp_path / "few.csv", numbers(59, 3))), "few")


def test_minutes_end_a_run(tmp_path: Path, train: Train) -> None:
    result = train("table", write(tmp_path / "timed.csv", numbers(100, 3)), "--minutes", "0.02")
    assert "0.02 minutes in batches of" in result.output
    loaded(result, "timed")


@pytest.mark.parametrize(("rows", "further"), [(200, 2.5), (6000, None)])
def test_a_budget_pays_for_the_flows_of_folds_too(tmp_path: Path, rows: int, further: float | None) -> None:
    data = OwnData(write(tmp_path / "sized.csv", numbers(rows, 2)))
    preset = tables.sized(dataclasses.replace(table.TABLE, data=data), None)
    assert preset.further == further
    assert f"below 1 / {601 if further is None else 201} " in "\n".join(told(preset))
    items, _ = data.read(None)
    splits = Splits(items, items, items[:0])
    state = fresh_state(preset, splits, 0, torch.device("cpu"))
    length = length_of(dataclasses.replace(preset, minutes=1.0), splits, state.flow)
    assert length.seconds == pytest.approx((60 - 6) / (1 + (further or 0)), rel=0.5)


def test_wishes_without_a_table_are_refused(train: Train, tmp_path: Path) -> None:
    result = CliRunner().invoke(command.main, ["moons-nice", "--label", "x"])
    assert result.exit_code == 2
    assert "for a table of your own" in result.output
    result = train("table", write(tmp_path / "t.csv", numbers(60, 3)), "--kind", "c0=word")
    assert result.exit_code == 2
    assert "must be NAME=KIND" in result.output
    result = train("table", write(tmp_path / "t.csv", numbers(60, 3)), "--drop", "c7")
    assert result.exit_code == 1
    assert "--drop: there is no column 'c7'; there are 'c0', 'c1', 'c2'" in result.output


@pytest.mark.parametrize("rows", [32, 40, 200, 2000, 20_000, 1_000_000])
def test_a_plan_has_batches_that_the_rows_fill(rows: int) -> None:
    plan = table.planned(table.TABLE, rows, 10)
    steps = plan.passes * rows // plan.batch_size
    assert 1 <= plan.batch_size <= rows
    assert 250 <= plan.epochs * steps <= 12_000
    assert plan.warmup_steps < plan.epochs * steps
    assert 0 < plan.jitter <= 1
    assert dataclasses.replace(plan, data=table.TABLE.data).name == "table"
