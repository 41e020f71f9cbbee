"""What a bulk run is asked for, as it stands in its folder: a later run goes on only with exactly the same."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from service.offline.bulk.folder import OutputFolder
from service.offline.unusable import UnusableFile
from service.protocol import defaults

_JOB, SUMMARY = "_job.json", "_summary.json"
_FREE = {"store", "files"}
"""Fields that may differ between a run and the one that goes on: where the same model and the same files lie."""

Command = Literal["score", "sample", "inpaint"]


class InputNote(Struct, frozen=True):
    """One input as it was when the run began."""

    name: str
    count: int
    """Items."""
    fingerprint: str
    """Changes with the names, the sizes and the times of change of its files."""


class Job(Struct, frozen=True):
    """Everything that the rows of the output follow from."""

    command: Command
    model: str
    """As ``name@version``."""
    manifest_sha256: str
    store: str
    device: str
    """`cpu` or `cuda`: the two round differently, so a run is finished on the kind of device that it began on."""
    part_rows: int
    files: list[str]
    inputs: list[InputNote]
    seed: int
    fit: bool = False
    alpha: float = defaults.ALPHA
    n: int = 1
    """Of an inpainting: completions of each item."""
    temperature: float = defaults.TEMPERATURE
    method: str = defaults.INPAINT_METHOD
    steps: int = defaults.INPAINT_STEPS
    step_size: float = defaults.STEP_SIZE
    mask: str | None = None
    mask_sha256: str | None = None
    format: int = 1
    """Of this document and of the parts' names."""

    @property
    def count(self) -> int:
        """Items in all inputs."""
        return sum(note.count for note in self.inputs)

    @property
    def parts(self) -> list[Part]:
        """The parts, in order: items of one input each, ``part_rows`` of them but for an input's last part."""
        found: list[Part] = []
        for place, note in enumerate(self.inputs):
            for first in range(0, note.count, self.part_rows):
                found.append(Part(len(found), place, first, min(first + self.part_rows, note.count)))
        return found


class Part(NamedTuple):
    """Items ``first`` to ``stop`` of one input, whose rows become one file."""

    number: int
    input: int
    first: int
    stop: int

    @property
    def file(self) -> str:
        return f"part-{self.number:06d}.parquet"

    def __len__(self) -> int:
        return self.stop - self.first


def read_job(folder: OutputFolder) -> Job | None:
    """The job of a folder; None where it has none. Raises UnusableFile for one that cannot be read."""
    data = folder.read(_JOB)
    try:
        return None if data is None else msgspec.convert(json.loads(data), Job)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise UnusableFile(f"{folder}/{_JOB}: cannot be read: {error}") from error


def begin(folder: OutputFolder, job: Job) -> None:
    """Write the job into its folder, or find the same one there. Raises UnusableFile where the folder has another."""
    if read_job(folder) is None:
        if strangers := folder.names():
            raise UnusableFile(f"{folder}: holds other files, such as {min(strangers)}: an output needs its own folder")
        # Not by msgspec: paths that are no UTF-8 are kept with their bytes, since other processes open them again.
        folder.create(_JOB, json.dumps(msgspec.to_builtins(job), indent=1).encode())
    there = read_job(folder)  # at a URL, another run may have been quicker
    assert there is not None
    for field in Job.__struct_fields__:
        before, now = getattr(there, field), getattr(job, field)
        if field not in _FREE and before != now:
            another = "other" if field.endswith("s") else "another"
            raise UnusableFile(
                f"{folder}: holds a run with {another} {field}: {_difference(before, now)}. Repeat that command to go "
                "on with it, or choose another folder"
            )


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            return f"{len(before)} of them, now {len(now)}"
        before, now = next((a, b) for a, b in zip(before, now, strict=True) if a != b)
        if before.name == now.name and before.count == now.count:
            return f"{now.name} was changed"
        return f"{before.name} with {before.count} items, now {now.name} with {now.count}"
    return f"{before}, now {now}"
