"""Loading one published version: every check between the bytes on disk and a flow that may answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from flows import Flow, inpainting
from flows.anomaly import Calibration, CrossCalibration, MapCalibration, PictureCalibration, Recipe
from flows.nets.precision import exact_float32
from model_store import manifest as m
from model_store import selftest
from model_store.calibrations import AnyCalibration, calibration_of
from model_store.draws import draws_from_png
from model_store.errors import ModelRefused, UnknownModel
from model_store.files import LARGEST_JSON, DamagedFile, read_checked, read_plain
from model_store.least_rows import LeastRows
from model_store.precision import serving
from model_store.signatures import TrustedKeys
from model_store.weights import DamagedTensors, flow_from_bytes, from_bytes

_LONGEST_SHOWN = 40
"""Characters of a manifest's value that an error message repeats."""


@dataclass(frozen=True)
class LoadedModel:
    """One version that passed every check, its flow on the device that was asked for."""

    name: str
    version: int
    manifest: m.Manifest
    flow: Flow
    """The flow in float32, with which the card's and the golden log-likelihoods were measured."""
    serving: Flow
    """The flow that answers: ``flow`` itself, or a copy with nets of bfloat16 where those were asked for."""
    calibration: Calibration | CrossCalibration | None
    """What judges items of one shape; None without p-values, and for a model of pictures of any size."""
    deviation: selftest.Deviation
    directory: Path = field(repr=False)
    golden_items: Tensor = field(repr=False)
    """The items (N, *item_shape) of the self-test, on the CPU."""
    least_rows: LeastRows | None = None
    """How many rows a batch needs, where whoever loads has tried it (see ``least_rows``)."""
    fallback: str | None = None
    """Why ``serving`` is in float32 although nets of bfloat16 were asked for and published as harmless; else None."""

    pictures: PictureCalibration | None = None
    """What judges pictures of any size, and their places; None for all other models."""
    map: MapCalibration | None = None
    """What tells where a picture is strange; None for vectors, and for versions published before there were maps."""
    published_survey: inpainting.Survey | None = field(default=None, repr=False)
    """The survey of the items in draws.png; None for a version without that file."""
    held: object = field(default=None, repr=False, compare=False)
    """What keeps the files in the cache of a store at a URL, for as long as this model or a copy of it lives."""

    @cached_property
    def survey(self) -> inpainting.Survey:
        """The survey of the serving flow's draws, for ``inpainting.start``.

        It is of the published draws. A version without them draws a few items at the first use and keeps the survey.
        """
        return self.published_survey if self.published_survey is not None else inpainting.survey(self.serving)

    @property
    def judging(self) -> AnyCalibration | None:
        """What judges items, whatever their kind; None without p-values."""
        return self.calibration if self.pictures is None else self.pictures

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def precision(self) -> m.Dtype:
        """What the nets of the flow that answers compute in."""
        return "float32" if self.serving is self.flow else "bfloat16"

    def read(self, file: str) -> bytes:
        """A file that the manifest lists (the card, a picture), checked again.

        Raises UnknownModel for any other file, and ModelRefused when the file was damaged since.
        """
        if file not in self.manifest.files:
            raise UnknownModel(f"{self.reference} has no file {file[:80]!r}")
        try:
            return read_checked(self.directory, file, self.manifest.files[file])
        except DamagedFile as error:
            raise ModelRefused(self.name, self.version, str(error)) from error


def read_manifest(directory: Path, name: str, version: int, trusted: TrustedKeys | None = None) -> m.Manifest:
    """The manifest in a version's directory, parsed strictly. Raises ModelRefused.

    With ``trusted`` keys, one of them must have signed it; the bytes that were signed are the bytes that are parsed.
    """
    try:
        data = read_plain(directory, m.MANIFEST, LARGEST_JSON)
        if trusted is not None:
            trusted.check(directory, data)
        manifest = m.Manifest.model_validate_json(data)
    except DamagedFile as error:
        raise ModelRefused(name, version, str(error)) from error
    except ValidationError as error:
        raise ModelRefused(name, version, f"manifest: {first_fault(error)}") from error
    if (manifest.name, manifest.version) != (name, version):
        raise ModelRefused(name, version, f"its manifest is that of {manifest.name}@{manifest.version}")
    return manifest


def first_fault(error: ValidationError) -> str:
    """The fault of a JSON document to report: an unknown format explains all others, so it goes first."""
    faults = error.errors(include_url=False, include_context=False)
    for fault in faults:
        if fault["loc"] == ("format",) and fault["type"] != "missing":
            return f"format {_shown(fault['input'])} is not one that this version of Sluice reads (it reads {m.FORMAT})"
    where = ".".join(map(str, faults[0]["loc"])) or "the document"
    return f"{where}: {faults[0]['msg']}"


def _shown(value: object) -> str:
    try:
        return repr(value)[:_LONGEST_SHOWN]
    except ValueError:  # an integer of more digits than Python converts
        return "that is a huge number"


@exact_float32()  # on a GPU the self-test fails in TF32
@torch.inference_mode(False)  # a flow whose weights were made within it could give no gradients
def load_version(
    directory: Path,
    name: str,
    version: int,
    device: torch.device | str = "cpu",
    *,
    calibrated: bool = True,
    bfloat16: bool = False,
    trusted: TrustedKeys | None = None,
) -> LoadedModel:
    """Load with every check: hashes, keys, shapes, dtypes, finite values, round trip, golden log-likelihood.

    ``calibrated=False`` leaves the calibration out, for a caller that replaces it. With ``bfloat16`` the flow that
    answers has nets of that precision, where publishing found them harmless and they pass a self-test of their own;
    where they fail it the flow answers in float32, and ``fallback`` says why. With ``trusted`` keys a version that none
    of them signed is refused. Raises ModelRefused with the reason.
    """
    manifest = read_manifest(directory, name, version, trusted)
    try:
        data = {file: read_checked(directory, file, entry) for file, entry in manifest.files.items()}
        for required in (m.WEIGHTS, m.GOLDEN, m.CARD):
            if required not in data:
                raise DamagedFile(f"the manifest lists no {required}")
        flow = flow_from_bytes(manifest, data[m.WEIGHTS]).to(device)
        if flow.is_image != (manifest.item.dtype == "uint8"):
            raise DamagedTensors(f"items of {manifest.item.dtype} do not fit this architecture")
        if manifest.table is not None and (flow.is_image or [len(manifest.table)] != manifest.item.shape):
            columns = len(manifest.table)
            raise DamagedTensors(f"a schema of {columns} columns does not fit items of shape {manifest.item.shape}")
        golden = from_bytes(data[m.GOLDEN])
        deviation = _self_test(flow, manifest, golden)
        calibration = calibration_of(flow, manifest, data) if calibrated else None
        if manifest.pictures is not None and manifest.calibration is None:
            raise DamagedTensors("a model of pictures of any size needs a calibration")
        pictures = calibration if isinstance(calibration, PictureCalibration) else None
        anomaly_map = _map(flow, manifest.map, data)
        answering, fallback = _serving(flow, manifest, golden) if bfloat16 else (flow, None)
        survey = None
        if m.DRAWS in data:
            try:
                drawn = draws_from_png(data[m.DRAWS], manifest.item.shape).to(device)
            except DamagedTensors as error:
                raise DamagedTensors(f"{m.DRAWS}: {error}") from error
            survey = inpainting.survey_of(answering, drawn)
    except (DamagedFile, DamagedTensors) as error:
        raise ModelRefused(name, version, str(error)) from error
    return LoadedModel(
        name=name,
        version=version,
        manifest=manifest,
        flow=flow,
        serving=answering,
        calibration=None if isinstance(calibration, PictureCalibration) else calibration,
        pictures=pictures,
        deviation=deviation,
        directory=directory,
        golden_items=golden["items"],
        fallback=fallback,
        map=anomaly_map,
        published_survey=survey,
    )


def _self_test(flow: Flow, manifest: m.Manifest, golden: Mapping[str, Tensor]) -> selftest.Deviation:
    """How far the flow is from its golden answers. Raises DamagedTensors where that is too far."""
    items, answers = golden.get("items"), golden.get("log_likelihood")
    shape = (manifest.golden.count, *manifest.item.shape)
    if items is None or answers is None or tuple(items.shape) != shape or tuple(answers.shape) != shape[:1]:
        raise DamagedTensors(f"{m.GOLDEN} does not hold {manifest.golden.count} items and their log-likelihoods")
    if items.dtype == torch.bool or not answers.is_floating_point():
        raise DamagedTensors(f"{m.GOLDEN} holds items of {items.dtype} and answers of {answers.dtype}")
    deviation = selftest.measure(flow, items, answers, manifest.golden.seed)
    problem = selftest.complaint(deviation, manifest.golden)
    if problem:
        raise DamagedTensors(problem)
    return deviation


def _map(flow: Flow, note: m.MapNote | None, data: Mapping[str, bytes]) -> MapCalibration | None:
    """The calibration of maps that the manifest's note describes. Raises DamagedTensors or DamagedFile."""
    if note is None:
        return None
    if m.MAP not in data:
        raise DamagedFile(f"the manifest lists no {m.MAP}")
    if not flow.is_image:
        raise DamagedTensors(f"{m.MAP} is of pictures, and the model's items are vectors")
    tensors, recipe = from_bytes(data[m.MAP]), Recipe(note.aligned, note.absolute, note.relative)
    if set(tensors) != {"mean", "tails", "tail", "maxima"} or tensors["maxima"].shape[:1] != (note.reference,):
        raise DamagedTensors(f"{m.MAP} does not hold what the manifest says")
    try:
        return MapCalibration.from_tensors(
            flow.item_shape, recipe, {key: tensor.to(flow.device) for key, tensor in tensors.items()}
        )
    # Of tensors of another dtype or rank than Sluice writes.
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise DamagedTensors(f"{m.MAP}: {error}") from error


def _serving(flow: Flow, manifest: m.Manifest, golden: Mapping[str, Tensor]) -> tuple[Flow, str | None]:
    """The flow that is to answer where bfloat16 is wanted, and why that is the float32 one after all, if it is.

    Nets of bfloat16 must pass a self-test whose tolerances allow for the change that publishing measured.
    """
    fast = serving(flow, manifest.bfloat16)
    if manifest.bfloat16 is None or fast is flow:
        return flow, None
    deviation = selftest.measure(fast, golden["items"], golden["log_likelihood"], manifest.golden.seed)
    problem = selftest.complaint(deviation, selftest.of_bfloat16(manifest.golden, manifest.bfloat16))
    return (fast, None) if problem is None else (flow, f"with nets of bfloat16 {problem}")
