"""The self-test at publish and at load: the round trip, and the golden log-likelihoods."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flows import Flow, noise
from model_store.manifest import Bfloat16Note, Golden

NATS_PER_DIMENSION = 1e-4
"""Tolerance of a golden log-likelihood. Another order of summation in float32 changes about 1e-5 nats per dimension;
damage to a weight changes far more than this."""
ROUND_TRIP = 1e-4
"""Tolerance of an entry in the round trip, in data units."""
_SUMMATION = 1e-6
"""The relative error that sums of float32 may have in any order; with algorithms such as Winograd's up to 3e-6."""
_STEEPEST = 8.0
"""Errors of all layers add up, and one trial finds a typical change, not the largest."""
_MOST_ROUNDING = 1e-3
"""However steep the inverse is: a quarter of a grey level. Factors rounded to TF32 err by more."""
_ROUND_TRIP_BFLOAT16 = 0.05
"""Tolerance of an entry in the round trip with nets of bfloat16, in data units.

An input whose last bits changed on the way may round to the next bfloat16, and the net's answer then jumps.
"""


@dataclass(frozen=True)
class Deviation:
    """The largest deviations over the golden items: in nats per item, and per entry in units of its ``_size``."""

    log_likelihood: float
    round_trip: float
    rounding: float = 0.0
    """How far the round trip may err by rounding alone: what a relative change of 1e-6 in the latents does to it.

    Measured only where the round trip errs by more than ``ROUND_TRIP``.
    """


@torch.no_grad()
def golden_log_likelihood(flow: Flow, items: Tensor, seed: int) -> Tensor:
    """The log-likelihoods (N,) float64 that the service would answer for items (N, *item_shape)."""
    return flow.log_prob(flow.to_continuous(items, seed)).double().cpu()


@torch.no_grad()
def measure(flow: Flow, items: Tensor, log_likelihood: Tensor, seed: int) -> Deviation:
    """How far a flow, on its device, deviates from golden log-likelihoods (N,) and from x = f⁻¹(f(x))."""
    x = flow.to_continuous(items, seed)
    back, _ = flow.decode(flow.encode(x)[0])
    found = golden_log_likelihood(flow, items, seed)
    round_trip = _largest((back - x) / _size(x))
    rounding = 0.0 if round_trip <= ROUND_TRIP else _rounding(flow, x, back)
    return Deviation(_largest(found - log_likelihood), round_trip, rounding)


def _rounding(flow: Flow, x: Tensor, back: Tensor) -> float:
    """How far the decoded items move when each latent changes by a millionth of its size.

    Where a flow's density is low its inverse is steep: a change of the latent, such as another order of summation
    leaves, moves the item further. No hardware's float32 does better there.
    """
    z, _ = flow.encode(x)
    signs = noise.uniform(noise.keys(0, len(z), z.device), z.shape[1:]).sub(0.5).sign().to(z.dtype)
    moved, _ = flow.decode(z + signs * _SUMMATION * z.abs().clamp_min(1))
    return _STEEPEST * _largest((moved - back) / _size(x))


def of_bfloat16(golden: Golden, note: Bfloat16Note) -> Golden:
    """The golden check with the tolerances of nets of bfloat16: twice the worst change that publishing measured."""
    return golden.model_copy(
        update={
            "log_likelihood_tolerance": golden.log_likelihood_tolerance + 2 * note.worst,
            "round_trip_tolerance": _ROUND_TRIP_BFLOAT16,
        }
    )


def complaint(deviation: Deviation, golden: Golden) -> str | None:
    """Why a deviation fails the self-test, or None. NaN fails."""
    allowed = max(golden.round_trip_tolerance, min(deviation.rounding, _MOST_ROUNDING))
    if not deviation.round_trip <= allowed:
        return f"the round trip errs by {deviation.round_trip:.3g}, more than {allowed:.3g}"
    if not deviation.log_likelihood <= golden.log_likelihood_tolerance:
        return (
            f"the golden log-likelihood is off by {deviation.log_likelihood:.3g} nats, "
            f"more than {golden.log_likelihood_tolerance:.3g}"
        )
    return None


def _size(x: Tensor) -> Tensor:
    """The largest absolute value of each entry over the items (N, ...), at least 1: a table may count in thousands."""
    return x.abs().amax(dim=0).clamp_min(1)


def _largest(difference: Tensor) -> float:
    return float(difference.abs().max())
