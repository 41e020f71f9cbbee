"""Calibrations to bytes and back, checked against what the manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration, CrossCalibration, has_mixtures, names_of, row_tests, tests_of
from model_store import manifest as m
from model_store.files import DamagedFile
from model_store.weights import DamagedTensors, flow_from_tensors, from_bytes, to_bytes

_OTHER_STATISTICS = (
    "the calibration is of other statistics than this version of Sluice computes: sluice-calibrate renews it"
)


def calibration_to_bytes(calibration: Calibration | CrossCalibration) -> bytes:
    """The bytes of calibration.safetensors, with the weights of the members' flows where there are several."""
    tensors = calibration.tensors()
    if isinstance(calibration, CrossCalibration) and len(calibration.members) > 1:
        for k, member in enumerate(calibration.members):
            tensors |= {f"flow.{k}.{name}": tensor for name, tensor in member.flow.state_dict().items()}
    return to_bytes(tensors)


def calibration_of(
    flow: Flow, manifest: m.Manifest, data: Mapping[str, bytes]
) -> Calibration | CrossCalibration | None:
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
        return _by_densities(flow, note, tensors) if note.folds is None else _crossed(flow, manifest, note, tensors)
    except DamagedTensors:
        raise
    except KeyError as error:
        raise DamagedTensors(f"{m.CALIBRATION}: tensor {error.args[0]!r} is missing") from error
    except ValueError as error:
        raise DamagedTensors(f"{m.CALIBRATION}: {error}") from error


def _by_densities(flow: Flow, note: m.CalibrationNote, tensors: Mapping[str, Tensor]) -> Calibration:
    if tuple(note.statistics) != names_of(flow):
        raise DamagedTensors(_OTHER_STATISTICS)
    sizes = {key: len(tensor) for key, tensor in tensors.items()}
    if sizes != {"fit": note.fit, "held_out": note.reference, "scale": 2}:
        raise DamagedTensors(f"{m.CALIBRATION} does not hold the items that the manifest says")
    return Calibration.from_tensors(tests_of(flow), {key: tensor.to(flow.device) for key, tensor in tensors.items()})


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


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
