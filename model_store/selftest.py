"""The self-test at publish and at load: the round trip, and the golden log-likelihoods."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flows import Flow
from model_store.manifest import Bfloat16Note, Golden

# A few units in the last place of float32, summed over the dimensions, is about 1e-5 nats each: ten times that is
# still far below what any damage to a weight would do, and above what another machine's order of summation does.
NATS_PER_DIMENSION = 1e-4
ROUND_TRIP = 1e-4

# A half that comes back with its last bits changed may round to another bfloat16, and the net then answers differently.
_ROUND_TRIP_BFLOAT16 = 0.05


@dataclass(frozen=True)
class Deviation:
    """The largest deviations over the golden items: nats an item, and of an entry in units of its ``_size``."""

    log_likelihood: float
    round_trip: float


@torch.no_grad()
def golden_log_likelihood(flow: Flow, items: Tensor, seed: int) -> Tensor:
    """What the service would answer for these items (N, ...) -> (N,), float64."""
    return flow.log_prob(flow.to_continuous(items, seed)).double().cpu()


@torch.no_grad()
def measure(flow: Flow, items: Tensor, log_likelihood: Tensor, seed: int) -> Deviation:
    """How far this flow, on its device, is from the golden answers and from being its own inverse."""
    x = flow.to_continuous(items, seed)
    back, _ = flow.decode(flow.encode(x)[0])
    found = golden_log_likelihood(flow, items, seed)
    return Deviation(_largest(found - log_likelihood), _largest((back - x) / _size(x)))


def least_rows(flow: Flow, items: Tensor, seed: int) -> int:
    """The least power of two such that items (N, ...) get the same bits in batches of any multiple of it up to N.

    Matrix products and vectorised functions treat a few rows, or the last entries of an odd number of them, in other
    ways than the rest. With nets of bfloat16 on the CPUs seen so far it is 1 or 2. N itself where nothing less will do.
    """
    whole = _answers(flow, flow.to_continuous(items, seed))
    least = 1
    while least < len(items):
        parts = (_answers(flow, flow.to_continuous(items[:k], seed)) for k in range(least, len(items), least))
        if all(torch.equal(few, many[: len(few)]) for part in parts for few, many in zip(part, whole, strict=True)):
            return least
        least *= 2
    return len(items)


@torch.enable_grad()
def _answers(flow: Flow, x: Tensor) -> tuple[Tensor, ...]:
    """What the service computes of x (B, ...): log-density, its gradient, latents and what they decode to."""
    point = x.clone().requires_grad_()
    z, log_abs_det = flow.encode(point)
    log_prob = flow.prior.log_prob(z) + log_abs_det
    (gradient,) = torch.autograd.grad(log_prob.sum(), point)
    with torch.no_grad():
        back, _ = flow.decode(z.detach())
    return log_prob.detach(), gradient, z.detach(), back


def of_bfloat16(golden: Golden, note: Bfloat16Note) -> Golden:
    """The same items with the tolerances that nets of bfloat16 need: twice the worst that publishing saw."""
    return golden.model_copy(
        update={
            "log_likelihood_tolerance": golden.log_likelihood_tolerance + 2 * note.worst,
            "round_trip_tolerance": _ROUND_TRIP_BFLOAT16,
        }
    )


def complaint(deviation: Deviation, golden: Golden) -> str | None:
    """Why the self-test fails, or None. Written so that NaN fails."""
    if not deviation.round_trip <= golden.round_trip_tolerance:
        return f"the round trip errs by {deviation.round_trip:.3g}, more than {golden.round_trip_tolerance:.3g}"
    if not deviation.log_likelihood <= golden.log_likelihood_tolerance:
        return (
            f"the golden log-likelihood is off by {deviation.log_likelihood:.3g} nats, "
            f"more than {golden.log_likelihood_tolerance:.3g}"
        )
    return None


def _size(x: Tensor) -> Tensor:
    """How large each entry gets over the items (N, ...), where that is above 1: a table may count in thousands."""
    return x.abs().amax(dim=0).clamp_min(1)


def _largest(difference: Tensor) -> float:
    return float(difference.abs().max())
