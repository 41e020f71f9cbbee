"""Statistics of live traffic: a service keeps them of the items that it scores, and sluice-calibrate reads them.

A file for each model, day and device: <directory>/live/<name>/<version>/<date>.<device>.safetensors. It holds a random
sample of the day's items as their measures (``flows.anomaly.Verdict.measures``): of a picture eleven numbers, of a row
five at most. No item, no key and no time of day is in it. Each item draws a number from U(0, 1), and the items with the
smallest numbers are the sample (bottom-k sampling, Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches").
Samples of several days and devices can therefore be joined into one sample of all their items, in which no quiet day
counts more than a busy one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from model_store.files import DamagedFile, names_in, read_plain
from model_store.weights import DamagedTensors, from_bytes

DAY_ITEMS = 2000
"""Items of a day that one device keeps at most."""
DAYS = 30
"""Days that are kept: files of one model and device at most, and the age at which a file is removed."""
_MOST_MEASURES = 64
_LARGEST_FILE = 2 * 8 * (_MOST_MEASURES + 2) * DAY_ITEMS
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.([A-Za-z0-9-]+)\.safetensors")
_FACTS = "facts"


class _Facts(BaseModel):
    """What a file says of its day beside the sample."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1]
    calibration: str
    """sha256 of the file of the calibration under which the measures were computed."""
    seen: Annotated[int, Field(ge=0)]
    without_measures: Annotated[int, Field(ge=0)]
    most: Annotated[int, Field(ge=2)]


@dataclass(frozen=True)
class LiveDay:
    """What one device has kept of one model's items of one day."""

    calibration: str
    """sha256 of the file of the calibration under which the measures were computed."""
    seen: int
    """Items that were scored on that day."""
    without_measures: int
    """Of them, items without finite measures, which are not in the sample."""
    measures: Tensor
    """(n, F) float32."""
    members: Tensor
    """(n,) int64: the member of the calibration whose measures they are."""
    draws: Tensor
    """(n,) float64: the number drawn for each item, ascending."""
    most: int = DAY_ITEMS
    """Items that the sample would hold at most."""

    @property
    def bound(self) -> float:
        """Items with a draw below this are in the sample, and all of them."""
        return 1.0 if len(self.draws) < self.most else float(self.draws[-1])


class LiveSample(NamedTuple):
    """A random sample of the items of several days and devices."""

    measures: Tensor
    """(n, F) float32."""
    members: Tensor
    """(n,) int64."""
    seen: int
    """Items of which it is a sample."""
    without_measures: int
    """Of them, items that had no finite measures and were left out."""
    first: str
    last: str
    """The days (UTC) of the first and of the last item, as in 2026-11-26."""

    @property
    def days(self) -> str:
        """The days, for people."""
        return f"on {self.first}" if self.first == self.last else f"from {self.first} to {self.last}"


def folder_of(directory: Path, name: str, version: int) -> Path:
    """Where the files of one version lie."""
    return directory / "live" / name / str(version)


def file_name(date: str, device: str) -> str:
    """The file of one day and device."""
    return f"{date}.{device}.safetensors"


def day_to_bytes(day: LiveDay) -> bytes:
    """The bytes of a file."""
    facts = _Facts(
        format=1,
        calibration=day.calibration,
        seen=day.seen,
        without_measures=day.without_measures,
        most=day.most,
    )
    tensors = {
        "measures": day.measures.float().contiguous(),
        "members": day.members.int().contiguous(),
        "draws": day.draws.double().contiguous(),
    }
    return safetensors.torch.save(tensors, {_FACTS: facts.model_dump_json()})


def read_day(folder: Path, file: str) -> LiveDay:
    """A day from its file. Raises DamagedFile for anything that ``day_to_bytes`` does not write."""
    data = read_plain(folder, file, _LARGEST_FILE)
    try:
        tensors = from_bytes(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = _Facts.model_validate_json(header["__metadata__"][_FACTS])
        measures, members, draws = (tensors[name] for name in ("measures", "members", "draws"))
    except (DamagedTensors, ValidationError, ValueError, KeyError, RecursionError) as error:
        raise DamagedFile(f"{file} does not hold statistics of live traffic") from error
    n = len(measures)
    fits = (
        (measures.dtype, members.dtype, draws.dtype) == (torch.float32, torch.int32, torch.float64)
        and measures.ndim == 2
        and measures.shape[1] <= _MOST_MEASURES
        and members.shape == draws.shape == (n,)
        and n <= facts.most
        and n + facts.without_measures <= facts.seen
        and bool((members >= 0).all())
        and bool((draws >= 0).all() and (draws <= 1).all() and (draws.diff() >= 0).all())
    )
    if not fits:
        raise DamagedFile(f"the tensors in {file} do not fit each other")
    return LiveDay(facts.calibration, facts.seen, facts.without_measures, measures, members.long(), draws, facts.most)


def dates_of(folder: Path, device: str | None = None) -> list[tuple[str, str]]:
    """The date and the name of each file of a version, ascending; of one device only, where it is named."""
    found = [(match, name) for name in names_in(folder) if (match := _NAME.fullmatch(name))]
    return sorted((match[1], name) for match, name in found if device is None or match[2] == device)


def live_sample(
    directory: Path, name: str, version: int, calibration: str, *, since: str | None = None, most: int
) -> LiveSample | None:
    """A sample of at most ``most`` items that a version scored, from the day ``since`` on.

    ``calibration`` is the sha256 of the version's calibration: files of another one are passed over. None where there
    are no files. Raises DamagedFile.
    """
    folder = folder_of(directory, name, version)
    read = [(date, read_day(folder, file)) for date, file in dates_of(folder) if since is None or date >= since]
    of_it = [(date, day) for date, day in read if day.calibration == calibration]
    days = [(date, day) for date, day in of_it if len(day.measures)]
    if not days:
        return None
    if len({day.measures.shape[1] for _, day in days}) > 1:
        raise DamagedFile(f"the files in {folder} hold different measures")
    measures, members = _joined([day for _, day in days], most)
    return LiveSample(
        measures,
        members,
        sum(day.seen for _, day in of_it),
        sum(day.without_measures for _, day in of_it),
        days[0][0],
        days[-1][0],
    )


def _joined(days: Sequence[LiveDay], most: int) -> tuple[Tensor, Tensor]:
    """One sample of the items of all days: those whose draws are below the bounds of all of them."""
    measures, members, draws = (
        torch.cat([getattr(day, part) for day in days]) for part in ("measures", "members", "draws")
    )
    chosen = (draws < min(day.bound for day in days)).nonzero().flatten()
    chosen = chosen[draws[chosen].argsort()][:most]
    return measures[chosen], members[chosen]
