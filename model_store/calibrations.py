"""Calibrations to bytes and back, checked against what the manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from flows import Flow
from flows.anomaly import (
    Calibration,
    CrossCalibration,
    PictureCalibration,
    has_mixtures,
    row_tests,
    tests_named,
)
from flows.architectures.lattice_flow import LatticeFlow
from flows.tiles import TiledDensity
from model_store import manifest as m
from model_store.files import DamagedFile
from model_store.weights import DamagedTensors, flow_from_tensors, from_bytes, stored_dtype, to_bytes

_OTHER_STATISTICS = (
    "the calibration is of other statistics than this version of Sluice computes: sluice-calibrate renews it"
)


AnyCalibration = Calibration | CrossCalibration | PictureCalibration


def calibration_to_bytes(calibration: AnyCalibration, weights_dtype: m.Dtype = "float32") -> bytes:
    """The bytes of calibration.safetensors, with the weights of the members' flows where there are several.

    Of pictures the first flow is the published one, and the others' matrices are stored in ``weights_dtype`` too.
    """
    tensors = calibration.tensors()
    if isinstance(calibration, PictureCalibration):
        for k, density in enumerate(calibration.densities[1:], start=1):
            own = density.flow.state_dict()
            tensors |= {f"flow.{k}.{name}": t.to(stored_dtype(t, weights_dtype)) for name, t in own.items()}
    if isinstance(calibration, CrossCalibration) and len(calibration.members) > 1:
        for k, member in enumerate(calibration.members):
            tensors |= {f"flow.{k}.{name}": tensor for name, tensor in member.flow.state_dict().items()}
    return to_bytes(tensors)


def calibration_of(flow: Flow, manifest: m.Manifest, data: Mapping[str, bytes]) -> AnyCalibration | None:
    """The calibration that a manifest describes, on the flow's device, or None where it has none.

    Raises DamagedTensors or DamagedFile for any other.
    """
    note = manifest.calibration
    if note is None:
        return None
    if m.CALIBRATION not in data:
        raise DamagedFile(f"the manifest lists no {m.CALIBRATION}")
    tensors = from_bytes(data[m.CALIBRATION])
    try:
        if manifest.pictures is not None:
            return _of_pictures(flow, manifest, note, tensors)
        return _by_densities(flow, note, tensors) if note.folds is None else _crossed(flow, manifest, note, tensors)
    except DamagedTensors:
        raise
    except KeyError as error:
        raise DamagedTensors(f"{m.CALIBRATION}: tensor {error.args[0]!r} is missing") from error
    except (ValueError, TypeError, IndexError, RuntimeError) as error:  # of another rank or dtype than Sluice writes
        raise DamagedTensors(f"{m.CALIBRATION}: {error}") from error


def _by_densities(flow: Flow, note: m.CalibrationNote, tensors: Mapping[str, Tensor]) -> Calibration:
    try:
        tests = tests_named(flow, note.statistics)
    except ValueError as error:
        raise DamagedTensors(_OTHER_STATISTICS) from error
    sizes = {key: len(tensor) for key, tensor in tensors.items()}
    if sizes != {"fit": note.fit, "held_out": note.reference, "scale": 2}:
        raise DamagedTensors(f"{m.CALIBRATION} does not hold the items that the manifest says")
    return Calibration.from_tensors(tests, {key: tensor.to(flow.device) for key, tensor in tensors.items()})


def _crossed(
    flow: Flow, manifest: m.Manifest, note: m.CalibrationNote, tensors: Mapping[str, Tensor]
) -> CrossCalibration:
    if flow.is_image or note.folds is None:
        raise DamagedTensors("cross-conformal p-values are of vectors")
    tests = row_tests(bool(len(tensors["kept"])), has_mixtures(tensors))
    if note.statistics != [name for test in tests for name in test.statistics]:
        raise DamagedTensors(_OTHER_STATISTICS)
    if (len(tensors["held_out"]), len(tensors["kept"])) != (note.reference, note.fit):
        raise DamagedTensors(f"{m.CALIBRATION} does not hold the rows that the manifest says")
    flows = [flow]
    if note.folds > 1:
        own = [_below(f"flow.{k}.", tensors) for k in range(note.folds)]
        flows = [flow_from_tensors(manifest, weights).to(flow.device) for weights in own]
    return CrossCalibration.from_tensors(flows, tensors)


def _of_pictures(
    flow: Flow, manifest: m.Manifest, note: m.CalibrationNote, tensors: Mapping[str, Tensor]
) -> PictureCalibration:
    if note.folds is None or len(tensors["held_out"]) != note.reference:
        raise DamagedTensors(f"{m.CALIBRATION} does not hold the pictures that the manifest says")
    flows = [flow]
    for k in range(1, note.folds):
        own = _below(f"flow.{k}.", tensors)
        flows.append(flow_from_tensors(manifest, own, manifest.weights.dtype).to(flow.device))
    densities = [TiledDensity(each) for each in flows if isinstance(each, LatticeFlow)]
    if len(densities) < len(flows) or not manifest.architecture.arguments.get("anywhere"):
        raise DamagedTensors("pictures of any size need a lattice flow that works anywhere")
    calibration = PictureCalibration.from_tensors(densities, tensors)
    if note.statistics != [name for test in calibration.tests for name in test.statistics]:
        raise DamagedTensors(_OTHER_STATISTICS)
    return calibration


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
