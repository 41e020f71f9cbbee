"""How many rows a batch needs so that no row's bits depend on the others, or on the number of threads: by trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from flows import Flow, noise
from flows.inpainting import SharpModes

Answers = Callable[[slice], tuple[Tensor, ...]]
"""What a batch of these rows leads to."""
Within = Sequence[Callable[[], AbstractContextManager[object]]]
"""Makers of contexts in which bits must be the same."""

_MULTIPLES = (2, 3)
"""Besides a number of rows itself, the multiples of it that are tried."""


class LeastRows(NamedTuple):
    """Batches of any multiple of these numbers of rows give a row the same bits."""

    encoding: int
    """For the log-density, its gradient and latents."""
    drawing: int
    """For inpaintings that draw: pixels given the others or, for a flow without ``SharpModes``, initial points."""
    decoding: int
    """For what is decoded too. A lattice's inverse has other last bits in a batch of a few rows."""


def least_rows(flow: Flow, items: Tensor, seed: int, within: Within = (nullcontext,)) -> LeastRows:
    """The least powers of two such that items (N, ...) get the same bits in batches of a multiple of it, and of all N.

    Matrix products of a few rows, and the last entries of vectorised functions, are computed by other kernels than the
    rest, so small batches may round differently. With nets of bfloat16 on the CPUs seen so far encoding needs 1 or 2.
    A number is N where no smaller one gives the same bits.
    """
    x = flow.to_continuous(items, seed)
    encoding = least_encoding(flow, items, seed, within)
    with torch.no_grad():
        latents, _ = flow.encode(x)
    decoding = _least(_decoded(flow, latents), len(x), within, encoding)
    drawing = _least(_redrawn(flow, x), len(x), within, encoding) if isinstance(flow, SharpModes) else decoding
    return LeastRows(encoding, drawing, decoding)


def least_encoding(flow: Flow, items: Tensor, seed: int, within: Within = (nullcontext,)) -> int:
    """``LeastRows.encoding`` alone."""
    return _least(_encoded(flow, flow.to_continuous(items, seed)), len(items), within)


def _least(answers: Answers, most: int, within: Within, rows: int = 1) -> int:
    """The least power of two, from ``rows`` on, such that batches of its multiples get the bits of all rows at once."""
    whole = answers(slice(most))

    def agrees(count: int, batches: int) -> bool:
        """Whether the first batches of a number of rows get the bits that all rows get together."""
        for context in within:
            with context():
                for start in range(0, min(batches * count, most), count):
                    batch = slice(start, start + count)
                    if not all(map(torch.equal, answers(batch), (each[batch] for each in whole))):
                        return False
        return True

    if not agrees(most, 1):
        return most
    while rows < most:
        larger = [rows * times for times in _MULTIPLES if rows * times < most]
        if agrees(rows, most) and all(agrees(count, 1) for count in larger):
            return rows
        rows *= 2
    return most


def _encoded(flow: Flow, x: Tensor) -> Answers:
    """Log-densities, latents and gradients."""

    @torch.enable_grad()
    def answers(rows: slice) -> tuple[Tensor, ...]:
        point = x[rows].clone().requires_grad_()
        z, log_abs_det = flow.encode(point)
        log_prob = flow.prior.log_prob(z) + log_abs_det
        (gradient,) = torch.autograd.grad(log_prob.sum(), point)
        return log_prob.detach(), z.detach(), gradient

    return answers


def _redrawn(flow: SharpModes, x: Tensor) -> Answers:
    """Every other entry drawn anew."""
    chosen = torch.arange(x[0].numel(), device=x.device).reshape(x[0].shape).remainder(2).bool().expand_as(x)
    uniform = noise.uniform(noise.keys(0, len(x), x.device), x.shape[1:])

    @torch.no_grad()
    def answers(rows: slice) -> tuple[Tensor, ...]:
        return flow.redraw(x[rows], chosen[rows], uniform[rows])

    return answers


def _decoded(flow: Flow, latents: Tensor) -> Answers:
    @torch.no_grad()
    def answers(rows: slice) -> tuple[Tensor, ...]:
        return flow.decode(latents[rows])

    return answers
