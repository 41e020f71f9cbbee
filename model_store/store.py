"""The store: names, versions, aliases, and loading a version with every check."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from flows import Flow, inpainting
from flows.anomaly import Calibration, names_of, tests_of
from model_store import manifest as m
from model_store import reference, selftest
from model_store.draws import draws_from_png
from model_store.errors import ModelRefused, UnknownModel
from model_store.files import LARGEST_JSON, DamagedFile, read_checked, read_plain, replace_durably, versions_in
from model_store.precision import serving
from model_store.weights import DamagedTensors, flow_from_bytes, from_bytes

DEFAULT = "default"
_ALIASES = "aliases.json"
_STORE = "store.json"


def default_root() -> Path:
    """The store that ships with Sluice."""
    return Path(__file__).parent / "models"


@dataclass(frozen=True)
class LoadedModel:
    """One version that passed every check, its flow on the device that was asked for."""

    name: str
    version: int
    manifest: m.Manifest
    flow: Flow
    """In float32: what the likelihoods of the card and the golden ones were measured with."""
    serving: Flow
    """What answers: the same flow, or a copy with nets of bfloat16 where those were asked for and found harmless."""
    calibration: Calibration | None
    deviation: selftest.Deviation
    directory: Path = field(repr=False)
    least_rows: int | None = None
    """In batches of any multiple of it a row gets the same answer to the bit, as found for the flow that answers; None
    where that was not looked for, in float32."""
    published_survey: inpainting.Survey | None = field(default=None, repr=False)
    """The survey of the items in draws.png; None for a version without that file."""

    @cached_property
    def survey(self) -> inpainting.Survey:
        """The survey of the serving flow's draws, for ``inpainting.start``.

        It is of the published draws. A version without them draws a few items at the first use and keeps the survey.
        """
        return self.published_survey if self.published_survey is not None else inpainting.survey(self.serving)

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def precision(self) -> m.Dtype:
        """What the nets of the flow that answers compute in."""
        return "float32" if self.serving is self.flow else "bfloat16"

    def read(self, file: str) -> bytes:
        """A file that the manifest lists (the card, a picture), checked again. Raises UnknownModel for any other."""
        if file not in self.manifest.files:
            raise UnknownModel(f"{self.reference} has no file {file[:80]!r}")
        try:
            return read_checked(self.directory, file, self.manifest.files[file])
        except DamagedFile as error:
            raise ModelRefused(self.name, self.version, str(error)) from error


class Store:
    """A directory of published models. Reading never changes it; only ``publish`` and ``set_alias`` write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """The models that have at least one complete version."""
        if not self.root.is_dir():
            return []
        found = (entry.name for entry in self.root.iterdir() if reference.is_name(entry.name))
        return sorted(name for name in found if self.versions(name))

    def versions(self, name: str) -> list[int]:
        return versions_in(self._directory(name))

    def aliases(self, name: str) -> dict[str, int]:
        """What each alias points at; unreadable or foreign entries count as none."""
        found = self._json(self._directory(name), _ALIASES)
        return {
            alias: version
            for alias, version in found.items()
            if re.fullmatch(reference.ALIAS, alias) and type(version) is int and version > 0
        }

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version. Raises UnknownModel when the version is not there or the alias is no alias."""
        if not re.fullmatch(reference.ALIAS, alias):
            raise UnknownModel(f"{alias[:80]!r} cannot be an alias: it starts with a lower-case letter")
        if version not in self.versions(name):
            raise UnknownModel(f"{name} has no version {version}")
        changed = {**self.aliases(name), alias: version}
        replace_durably(self._directory(name) / _ALIASES, (json.dumps(changed, indent=1) + "\n").encode())

    def default_name(self) -> str:
        """The model that is meant when a request names none: store.json's, else the first by name."""
        names = self.names()
        if not names:
            raise UnknownModel("the store holds no model")
        chosen = self._json(self.root, _STORE).get(DEFAULT)
        return chosen if chosen in names else names[0]

    def resolve(self, text: str | None = None) -> tuple[str, int]:
        """`name`, `name@version` or `name@alias` to a name and a version that is there. Raises UnknownModel."""
        asked = reference.parse(text if text is not None else self.default_name())
        versions = self.versions(asked.name)
        if not versions:
            raise UnknownModel(f"there is no model {asked.name!r}")
        aliases = self.aliases(asked.name)
        if asked.version is not None:
            version = asked.version
        elif asked.alias is None:
            version = aliases.get(DEFAULT, versions[-1])
        elif asked.alias in aliases:
            version = aliases[asked.alias]
        else:
            raise UnknownModel(f"{asked.name} has no alias {asked.alias!r}")
        if version not in versions:
            raise UnknownModel(f"{asked.name} has no version {version}")
        return asked.name, version

    def manifest(self, name: str, version: int) -> m.Manifest:
        """The manifest alone, parsed strictly. Raises ModelRefused."""
        directory = self._directory(name) / str(version)
        try:
            if not directory.resolve().is_relative_to(self.root.resolve()):
                raise DamagedFile("the version's directory leads out of the store")
            manifest = m.Manifest.model_validate_json(read_plain(directory, m.MANIFEST, LARGEST_JSON))
        except DamagedFile as error:
            raise ModelRefused(name, version, str(error)) from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "the document"
            raise ModelRefused(name, version, f"manifest: {where}: {first['msg']}") from error
        if (manifest.name, manifest.version) != (name, version):
            raise ModelRefused(name, version, f"its manifest is that of {manifest.name}@{manifest.version}")
        return manifest

    @torch.inference_mode(False)  # weights made within it would give no gradient to anybody
    def load(
        self,
        name: str,
        version: int,
        device: torch.device | str = "cpu",
        *,
        calibrated: bool = True,
        bfloat16: bool = False,
    ) -> LoadedModel:
        """Load with every check: hashes, keys, shapes, dtypes, finite values, round trip, golden log-likelihood.

        Without ``calibrated`` the calibration is left out: it is to be made anew. With ``bfloat16`` the flow that
        answers has nets of that precision if publishing found them harmless. Raises ModelRefused with the reason.
        """
        manifest = self.manifest(name, version)
        directory = self._directory(name) / str(version)
        try:
            data = {file: read_checked(directory, file, entry) for file, entry in manifest.files.items()}
            for required in (m.WEIGHTS, m.GOLDEN, m.CARD):
                if required not in data:
                    raise DamagedFile(f"the manifest lists no {required}")
            flow = flow_from_bytes(manifest, data[m.WEIGHTS]).to(device)
            if flow.is_image != (manifest.item.dtype == "uint8"):
                raise DamagedTensors(f"items of {manifest.item.dtype} do not fit this architecture")
            golden = from_bytes(data[m.GOLDEN])
            deviation = _self_test(flow, manifest, golden)
            calibration = _calibration(flow, manifest.calibration if calibrated else None, data)
            answering, least_rows = _serving(flow, manifest, golden) if bfloat16 else (flow, None)
            survey = None
            if m.DRAWS in data:
                drawn = draws_from_png(data[m.DRAWS], manifest.item.shape).to(device)
                survey = inpainting.survey_of(answering, drawn)
        except (DamagedFile, DamagedTensors) as error:
            raise ModelRefused(name, version, str(error)) from error
        return LoadedModel(
            name, version, manifest, flow, answering, calibration, deviation, directory, least_rows, survey
        )

    def verify(self, name: str, version: int) -> list[str]:
        """Load once more from disk and report what was checked, a line each. Raises ModelRefused."""
        model = self.load(name, version)
        golden = model.manifest.golden
        total = sum(entry.size for entry in model.manifest.files.values())
        return [
            f"{len(model.manifest.files)} files, {total:,} bytes: sizes and sha256 as published",
            f"{model.manifest.weights.parameters:,} parameters: keys, shapes, dtypes, all finite",
            f"round trip errs by {model.deviation.round_trip:.2e} (allowed {golden.round_trip_tolerance:.0e})",
            f"{golden.count} golden log-likelihoods off by at most {model.deviation.log_likelihood:.2e} nats "
            f"(allowed {golden.log_likelihood_tolerance:.2e})",
        ]

    def _directory(self, name: str) -> Path:
        if not reference.is_name(name):
            raise UnknownModel(f"{name[:80]!r} is not the name of a model")
        return self.root / name

    def _json(self, directory: Path, file: str) -> dict[str, Any]:
        """A small JSON object that may not be there."""
        try:
            found = json.loads(read_plain(directory, file, LARGEST_JSON))
        except (DamagedFile, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _calibration(flow: Flow, note: m.CalibrationNote | None, data: Mapping[str, bytes]) -> Calibration | None:
    if note is None:
        return None
    if m.CALIBRATION not in data:
        raise DamagedFile(f"the manifest lists no {m.CALIBRATION}")
    if tuple(note.statistics) != names_of(flow):
        raise DamagedTensors(
            "the calibration is of other statistics than this version of Sluice computes: sluice-calibrate renews it"
        )
    tensors = from_bytes(data[m.CALIBRATION])
    sizes = {key: len(tensor) for key, tensor in tensors.items()}
    if sizes != {"fit": note.fit, "held_out": note.reference, "scale": 2}:
        raise DamagedTensors(f"{m.CALIBRATION} does not hold the items that the manifest says")
    try:
        return Calibration.from_tensors(tests_of(flow), tensors)
    except ValueError as error:
        raise DamagedTensors(f"{m.CALIBRATION}: {error}") from error


def _serving(flow: Flow, manifest: m.Manifest, golden: Mapping[str, Tensor]) -> tuple[Flow, int | None]:
    """The flow that is to answer and, where that has nets of bfloat16, the least rows that a batch of it needs.

    It passes a self-test of its own, which allows for what bfloat16 was found to change.
    """
    found = serving(flow, manifest.bfloat16)
    if manifest.bfloat16 is None or found is flow:
        return flow, None
    items, seed = golden["items"], manifest.golden.seed
    deviation = selftest.measure(found, items, golden["log_likelihood"], seed)
    problem = selftest.complaint(deviation, selftest.of_bfloat16(manifest.golden, manifest.bfloat16))
    if problem:
        raise DamagedTensors(f"with nets of bfloat16 {problem}")
    return found, selftest.least_rows(found, items, seed)


def _self_test(flow: Flow, manifest: m.Manifest, golden: Mapping[str, Tensor]) -> selftest.Deviation:
    items, answers = golden.get("items"), golden.get("log_likelihood")
    shape = (manifest.golden.count, *manifest.item.shape)
    if items is None or answers is None or tuple(items.shape) != shape or tuple(answers.shape) != shape[:1]:
        raise DamagedTensors(f"{m.GOLDEN} does not hold {manifest.golden.count} items and their log-likelihoods")
    deviation = selftest.measure(flow, items, answers, manifest.golden.seed)
    problem = selftest.complaint(deviation, manifest.golden)
    if problem:
        raise DamagedTensors(problem)
    return deviation
