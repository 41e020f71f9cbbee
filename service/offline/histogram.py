"""Scores against the calibration, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from model_store import LoadedModel
from service.offline.unusable import UnusableFile, missing_extra, writable

_BARS, _SHARES = 60, 20
_CUT = 0.005
"""The share of held-out items that may lie beyond either end of the axis: their tail is long."""


def require(model: LoadedModel) -> None:
    """Raises UnusableFile when no histogram can be drawn, before anything is scored."""
    if model.judging is None:
        raise UnusableFile(f"--histogram: {model.reference} was published without calibration")
    _figure()


def draw(path: Path, model: LoadedModel, log_likelihood: np.ndarray, p_value: np.ndarray) -> None:
    """Log-likelihoods (N,) beside those of held-out items, and p-values (N,) beside what ordinary items would give."""
    assert model.judging is not None
    held_out = model.judging.held_out("log_likelihood").numpy()
    scored = log_likelihood[np.isfinite(log_likelihood)]
    ends = np.quantile(np.concatenate([held_out, scored]), [_CUT, 1 - _CUT])
    figure = _figure()(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for values, label in ((held_out, "held-out items"), (scored, "scored items")):
        left.hist(values.clip(*ends), bins=_BARS, range=tuple(ends), density=True, alpha=0.5, label=label)
    left.set(
        xlabel="log-likelihood in nats", ylabel="share of items a nat", title="the last bars hold what lies beyond"
    )
    shares = np.full(len(p_value), 1 / len(p_value))
    right.hist(p_value, bins=_SHARES, range=(0, 1), weights=shares, label="scored items")
    right.axhline(1 / _SHARES, color="grey", linestyle=":", label="ordinary items")
    right.set(xlabel="p-value", ylabel="share of items", title=model.reference)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right")
    with writable(path):
        figure.savefig(path, format="png", dpi=100)


def _figure() -> Any:
    """matplotlib's figure, which draws without a screen. Raises UnusableFile where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("--histogram: to draw", "matplotlib", "train") from error
    return Figure
