"""Draws for the missing entries of vectors, given the others: a normal copula with the columns' own marginals."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

KNOTS = 33
"""Quantiles that are kept of each column."""
_EDGE = 0.01
"""Probability of the least quantile, and one minus that of the greatest. Beyond them scores go on in straight lines."""
_NARROWEST = 1e-5
"""Share of a column's quantiles' range that lies between two of them at least: the same value would be no piece."""
_FARTHEST = 10.0
"""Scores of present entries, at most: the correlations carry them into the others."""
_SHRINKAGE = 4.0
"""Rows' worth of independence that are mixed into the correlations, for tables of few rows."""
_ROWS = 512
"""Rows whose matrices are in memory at once."""
_MOST = 1_000_000
"""Values that quantiles are taken of."""


class Completion(nn.Module):
    """The distribution q(missing | present) of vectors (B, D): the normal scores of all entries are jointly normal.

    ``fit`` takes the quantiles of every column and the correlations of normal scores, from rows that may have missing
    entries. A model of any other kind can weigh the draws: see ``Flow.to_continuous``.

    >>> generator = torch.Generator().manual_seed(0)
    >>> first = torch.randn(500, 1, generator=generator)
    >>> completion = flows.Completion(2)
    >>> completion.fit(torch.cat([first, 10 * first], dim=1))
    >>> x = torch.tensor([[1.0, torch.nan]])
    >>> drawn, log_density = completion.draw(x, torch.zeros(1, 2))
    >>> 8 < drawn[0, 1] < 12
    tensor(True)
    """

    quantiles: Tensor
    correlations: Tensor
    scores: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        scores = _scores()
        # Stored as vectors, because a store may round matrices.
        self.register_buffer("quantiles", scores.to(torch.float32).repeat(dimensions))
        self.register_buffer("correlations", torch.eye(dimensions).flatten())
        self.register_buffer("scores", scores.to(torch.float32), persistent=False)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Fit to rows x (N, D), NaN where an entry is missing."""
        exact = x.detach().double().cpu()
        shares = torch.special.ndtr(_scores())
        columns = []
        for column in exact.T:
            present = column[~column.isnan()]
            found = torch.quantile(present[:_MOST], shares) if len(present) else torch.zeros(KNOTS, dtype=exact.dtype)
            # Quantiles that coincide would have an infinite slope between them.
            spread = float(found[-1] - found[0]) or 1.0
            columns.append(found + spread * _NARROWEST * torch.arange(KNOTS, dtype=exact.dtype))
        self.quantiles.copy_(torch.stack(columns).flatten())
        z = self._to_scores(exact)
        present = ~z.isnan()
        filled = torch.where(present, z, 0.0)
        both = present.double().T @ present.double()
        covariance = filled.T @ filled / (both + _SHRINKAGE)
        variance = (filled.square().sum(dim=0) / present.sum(dim=0).clamp_min(1)).clamp_min(1e-6)
        correlation = covariance / (variance[:, None] * variance[None, :]).sqrt()
        correlation.fill_diagonal_(1.0)
        values, directions = torch.linalg.eigh(correlation)  # pairs with other rows missing need not be consistent
        repaired = (directions * values.clamp_min(1e-3)) @ directions.T
        scale = repaired.diagonal().rsqrt()
        self.correlations.copy_((repaired * scale[:, None] * scale[None, :]).flatten())

    @torch.no_grad()
    def draw(self, x: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) with NaN where missing, normals (B, D) -> x completed, and log q of what was drawn (B,), in nats.

        Standard normal ``normals`` give draws of q; zeros give the conditional medians.
        """
        parts = [
            self._drawn(rows, draws)
            for rows, draws in zip(torch.split(x, _ROWS), torch.split(normals.double(), _ROWS), strict=True)
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _drawn(self, x: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """``draw`` by conditioning a draw of the joint distribution (Hoffman & Ribak 1991): one solve for each row.

        With z_p the present scores, C the correlations and s a joint draw, z = s + C_p C_pp^-1 (z_p - s_p).
        """
        z = self._to_scores(x.double())
        missing = z.isnan()
        present = (~missing).to(z.dtype)
        correlations = self.correlations.reshape(self.dimensions, self.dimensions).double()
        factor = _cholesky(correlations)
        joint = normals @ factor.T
        known = torch.where(missing, 0.0, z)
        masked = correlations * present[:, :, None] * present[:, None, :] + torch.diag_embed(1 - present)
        inner = _cholesky(masked)
        correction = torch.cholesky_solve(((known - joint) * present)[:, :, None], inner)[:, :, 0]
        drawn = torch.where(missing, joint + correction @ correlations, z)
        # log q(missing | present) = log q(all) - log q(present)
        whole = torch.linalg.solve_triangular(factor, drawn.T, upper=False).square().sum(dim=0)
        part = torch.linalg.solve_triangular(inner, known[:, :, None], upper=False).square().sum(dim=(1, 2))
        log_density = (
            -(whole - part) / 2
            - factor.diagonal().log().sum()
            + inner.diagonal(dim1=1, dim2=2).log().sum(dim=1)
            - missing.sum(dim=1) * math.log(2 * math.pi) / 2
        )
        values, slopes = self._to_values(drawn)
        log_density = log_density + torch.where(missing, slopes.log(), 0.0).sum(dim=1)
        return torch.where(missing, values.to(x.dtype), x), log_density

    def _to_scores(self, x: Tensor) -> Tensor:
        """x (B, D) -> normal scores (B, D); NaN stays NaN."""
        # While fitted, x is on the CPU, where the buffers may not be.
        quantiles = self.quantiles.to(x.device).reshape(self.dimensions, KNOTS).double()
        scores = self.scores.to(x.device).double()
        place = torch.searchsorted(quantiles, x.nan_to_num().T.contiguous()).T
        value, score, slope = _line(quantiles, scores, place)
        return (score + (x - value) * slope).clamp(-_FARTHEST, _FARTHEST)

    def _to_values(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Normal scores (B, D) -> values (B, D), and the slopes dz/dx there."""
        quantiles = self.quantiles.reshape(self.dimensions, KNOTS).double()
        scores = self.scores.double()
        place = torch.searchsorted(scores, z.contiguous())
        value, score, slope = _line(quantiles, scores, place)
        return value + (z - score) / slope, slope

    def extra_repr(self) -> str:
        return f"{self.dimensions}"


def _cholesky(matrices: Tensor) -> Tensor:
    """Lower Cholesky factors. They are positive definite; to look whether they are would wait."""
    factors: Tensor = torch.linalg.cholesky_ex(matrices)[0]
    return factors


def _scores() -> Tensor:
    """The normal scores (KNOTS,) of the quantiles, float64, on the CPU."""
    shares = torch.linspace(_EDGE, 1 - _EDGE, KNOTS, dtype=torch.float64, device="cpu")
    found: Tensor = torch.special.ndtri(shares)
    return found


def _line(quantiles: Tensor, scores: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A point (value, score) and the slope dz/dx of the straight line before the knot at ``place``, each (B, D).

    Beyond the outer knots, where ``place`` is 0 or ``KNOTS``, the line is no steeper than the whole: a column of which
    many entries have its least value is steep there, and an entry just below them would be thousands of scores out.
    """
    above = place > KNOTS - 1
    right = place.clamp(1, KNOTS - 1)
    low, high = (quantiles.expand(len(place), -1, -1).gather(2, at[..., None])[..., 0] for at in (right - 1, right))
    span = (quantiles[:, -1] - quantiles[:, 0]).clamp_min(1e-300)
    # Half of what ``fit`` keeps apart: what float32 then made of it, down to nothing.
    slope = (scores[right] - scores[right - 1]) / torch.maximum(high - low, _NARROWEST / 2 * span)
    whole = (scores[-1] - scores[0]) / span
    slope = torch.where(above | (place < 1), torch.minimum(slope, whole), slope)
    return torch.where(above, high, low), torch.where(above, scores[right], scores[right - 1]), slope
