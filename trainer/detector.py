"""A scikit-learn estimator of outliers whose verdicts are conformal p-values, and which publishes to a model store."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import model_store
from flows import Flow, anomaly
from model_store import CalibrationEvidence, Publication, Published, Report, Store
from model_store.remote.objects import is_url
from tables.kinds import LARGEST, STEPS_A_DEVIATION
from trainer.data import OwnData, Splits
from trainer.errors import DataError, missing_extra
from trainer.presets import Preset
from trainer.presets.table import TABLE, planned
from trainer.publish.export import complete
from trainer.publish.row_calibration import crossed, split_calibration
from trainer.publish.store_location import store_at
from trainer.run.hooks import Hooks
from trainer.run.initial_state import arguments_for, fresh_state
from trainer.run.loop import train
from trainer.run.ranks import Ranks
from trainer.run.settings import Computing

try:
    from sklearn.base import BaseEstimator, OutlierMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise missing_extra("trainer.detector", "scikit-learn", "sklearn") from error

Floats = npt.NDArray[np.float64]
_MANY_ROWS = 5_000
"""From so many rows on a tenth is held out to calibrate, instead of training a flow for each fold."""
_GOLDEN = 8
_BATCH = 512
_ROWS_MULTIPLE = 32
"""Rows are scored in multiples of this number, so that no row's bits depend on the others."""


class FlowDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Outliers of a table by a normalizing flow and neighbours: ``sluice-train table`` with scikit-learn's interface.

    Parameters
    ----------
    alpha : float
        A row is an outlier when its p-value is at most this: of ordinary rows a share of about ``alpha`` is.
    neighbours : bool
        Whether verdicts also look for neighbours among the rows of ``fit``. A saved detector then holds such rows.
    max_steps : int or None
        Training steps of each flow at most; None to let them follow from the number of rows.
    random_state : int
        Decides folds, weights and noise. The same seed and rows give the same detector.

    Attributes
    ----------
    n_calibration_ : int
        Rows that calibrate. No p-value is below 1 / (n + 1), and an ``alpha`` below it finds no outlier.
    offset_ : float
        ``decision_function`` is ``score_samples`` less this.

    >>> rows = np.random.default_rng(0).normal(size=(60, 2))
    >>> detector = FlowDetector(alpha=0.1, max_steps=20).fit(rows)
    >>> detector.predict([[0.0, 0.0], [9.0, 9.0]])
    array([ 1, -1])
    """

    def __init__(
        self, *, alpha: float = 0.05, neighbours: bool = True, max_steps: int | None = None, random_state: int = 0
    ) -> None:
        self.alpha = alpha
        self.neighbours = neighbours
        self.max_steps = max_steps
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 (scikit-learn's interface)
        """Train on ordinary rows (n_samples, n_features) of numbers, and calibrate on them. NaN is a missing value.

        Raises ValueError for fewer than 10 rows, fewer than 2 columns, and infinite values or those beyond 1e37. Warns
        of a column so far from zero that float32 rounds its differences away, and of an ``alpha`` that finds nothing.
        """
        values = validate_data(self, X, dtype=np.float64, ensure_min_features=2, ensure_all_finite="allow-nan")
        if len(values) < anomaly.LEAST_ROWS:
            raise ValueError(
                f"Found array with {len(values)} sample(s) while a minimum of {anomaly.LEAST_ROWS} is required"
            )
        _check_range(values)
        if np.array_equal(values, np.broadcast_to(values[0], values.shape), equal_nan=True):
            raise ValueError("X: all rows are the same; there is nothing to learn from them")
        rows = torch.from_numpy(values.astype(np.float32))
        seed = int(self.random_state)
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
        held_out = len(rows) // 10 if len(rows) >= _MANY_ROWS else 0
        splits = Splits(rows[held_out:], rows[held_out:][:_BATCH], rows[:held_out])
        preset = self._preset(len(splits.train), rows.shape[1])
        self.flow_ = _trained(preset, splits, seed)
        if held_out:
            kept = splits.train[: anomaly.KEPT_ROWS]
            self.calibration_ = split_calibration(self.flow_, kept, splits.test, self.neighbours)
        else:
            few = self._preset(len(rows) * 4 // 5, rows.shape[1])
            self.calibration_ = crossed(few, splits, rows, self.flow_, seed=seed, neighbours=self.neighbours)
        self._arguments = arguments_for(preset, splits)
        self._golden = rows[:_GOLDEN]
        self._set_offset()
        if self.alpha < 1 / (self.n_calibration_ + 1):
            warnings.warn(
                f"alpha={self.alpha:g} finds no outlier: no p-value of {self.n_calibration_:,} rows is below "
                f"{1 / (self.n_calibration_ + 1):.3g}",
                stacklevel=2,
            )
        return self

    def score_samples(self, X: Any) -> Floats:  # noqa: N803
        """How ordinary each row is: its p-value, with ties broken by the nonconformity scores."""
        p_values, scores = self._assessed(X)
        return p_values - np.minimum(scores / (1 + scores), 1 - 1e-6) / (self.n_calibration_ + 1)

    def decision_function(self, X: Any) -> Floats:  # noqa: N803
        """``score_samples`` less ``offset_``: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:  # noqa: N803
        """-1 for rows whose p-value is at most ``alpha``, and 1 for all others."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def p_values(self, X: Any) -> Floats:  # noqa: N803
        """The conformal p-value of each row: see flows.anomaly.CrossCalibration for what it promises."""
        return self._assessed(X)[0]

    def log_likelihood(self, X: Any) -> Floats:  # noqa: N803
        """The log-likelihood of each row in nats, under the flow of all rows alone."""
        return self._likelihoods(self._rows(X))

    def contributions(self, X: Any) -> tuple[Floats, Floats]:  # noqa: N803
        """For each row and column, the nats that the likelihood would gain, and the value that was expected."""
        rows = self._rows(X)
        found = self.calibration_.contributions(self.flow_.to_continuous(_padded(rows)))
        return found.gain[: len(rows)].numpy(), found.expected[: len(rows)].numpy()

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> Floats:
        """Rows (n_samples, n_features) drawn from the flow."""
        check_is_fitted(self)
        generator = torch.Generator().manual_seed(self.random_state if random_state is None else random_state)
        with torch.no_grad():
            drawn: Floats = self.flow_.sample(n_samples, generator).double().numpy()
        return drawn

    def save(self, store: str | Path, name: str) -> Published:
        """Publish to a model store, for ``sluice serve`` and for ``load``. Raises StoreError.

        ``store`` is a directory, or a URL such as ``"s3://bucket/models"``.
        """
        check_is_fitted(self)
        likelihood = float(self._likelihoods(self._golden).mean())
        kept = self.calibration_.fit
        names = getattr(self, "feature_names_in_", None)
        provenance: dict[str, str | int | float]
        provenance = {"estimator": "FlowDetector", "alpha": self.alpha, "seed": int(self.random_state)}
        if names is not None:
            provenance["feature_names"] = json.dumps(list(names))
        publication = Publication(
            flow=self.flow_,
            architecture=TABLE.architecture,
            arguments=self._arguments,
            golden_items=complete(self.flow_, self._golden),
            provenance=provenance,
            report=Report(
                quality={"golden": {"log_likelihood": likelihood}},
                card=f"# {name}\n\nA table's detector of outliers, saved from Python. {kept:,} rows of the data lie in "
                "`calibration.safetensors`.\n",
            ),
            calibration=CalibrationEvidence(
                calibration=self.calibration_, source=f"{self.n_calibration_:,} rows given to FlowDetector.fit"
            ),
        )
        return model_store.publish(_opened(store), name, publication)

    @classmethod
    def load(cls, store: str | Path, reference: str) -> FlowDetector:
        """A detector from a model of a store, ``name`` or ``name@version``. Raises StoreError, or DataError.

        ``store`` is a directory or a URL. A detector that was fitted on a DataFrame expects its columns again, by name.
        """
        shelf = _opened(store)
        model = shelf.load(*shelf.resolve(reference))
        if not isinstance(model.calibration, anomaly.CrossCalibration):
            raise DataError(f"{model.reference}: has no calibration of rows of a table")
        provenance = model.manifest.provenance
        alpha, seed = provenance.get("alpha", 0.05), provenance.get("seed", 0)
        detector = cls(alpha=float(alpha), neighbours=model.calibration.neighbours, random_state=int(seed))
        detector.flow_, detector.calibration_ = model.flow, model.calibration
        detector.n_features_in_ = model.flow.dimensions
        if "feature_names" in provenance:
            detector.feature_names_in_ = np.asarray(json.loads(str(provenance["feature_names"])), dtype=object)
        detector._arguments = dict(model.manifest.architecture.arguments)
        kept = model.calibration.kept[:_GOLDEN]  # none without neighbours
        detector._golden = kept if len(kept) else torch.from_numpy(detector.sample(_GOLDEN)).float()
        detector._set_offset()
        return detector

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _preset(self, rows: int, columns: int) -> Preset:
        preset = planned(replace(TABLE, data=OwnData()), rows, columns)
        # With steps, though of 0, the flow takes missing values.
        preset = replace(preset, arguments={**preset.arguments, "steps": [0.0] * columns})
        if self.max_steps is None:
            return preset
        steps = max(1, rows // preset.batch_size)
        return replace(preset, passes=1, epochs=max(1, self.max_steps // steps), warmup_steps=1)

    def _set_offset(self) -> None:
        self.n_calibration_ = self.calibration_.size
        most = int(self.alpha * (self.n_calibration_ + 1) + 1e-9)
        self.offset_ = (most + 5e-7) / (self.n_calibration_ + 1)

    def _rows(self, X: Any) -> Tensor:  # noqa: N803
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, reset=False, ensure_all_finite="allow-nan")
        return torch.from_numpy(values.clip(-LARGEST, LARGEST).astype(np.float32))

    def _assessed(self, X: Any) -> tuple[Floats, Floats]:  # noqa: N803
        """p-values and nonconformity scores of rows."""

        def judged(x: Tensor) -> Tensor:
            verdict, scores = self.calibration_.judge_with_scores(self.flow_.to_continuous(x))
            return torch.stack([verdict.p_value, scores], dim=1)

        found = self._each(self._rows(X), judged)
        return found[:, 0], found[:, 1]

    def _likelihoods(self, rows: Tensor) -> Floats:
        return self._each(rows, lambda x: self.flow_.log_prob(self.flow_.to_continuous(x)).double())

    @torch.no_grad()
    def _each(self, rows: Tensor, function: Any) -> Floats:
        parts = torch.split(rows, _BATCH)
        found: Floats = torch.cat([function(_padded(part))[: len(part)] for part in parts]).numpy()
        return found


def _opened(store: str | Path) -> Store:
    if isinstance(store, str) and not is_url(store):
        store = Path(store)
    found = store_at(store)
    return found if isinstance(found, Store) else Store(found)


def _check_range(values: Floats) -> None:
    """Raises ValueError for a column beyond float32, and warns of one whose differences float32 rounds away."""
    for place, column in enumerate(values.T):
        present = column[~np.isnan(column)]
        largest = float(np.abs(present).max(initial=0.0))
        if largest > LARGEST:
            raise ValueError(f"X: column {place} holds {largest:.3g}, too large for float32; take its logarithm")
        spread = float(present.std()) if len(present) else 0.0
        if 0 < spread < STEPS_A_DEVIATION * float(np.spacing(np.float32(largest))):
            warnings.warn(
                f"X: column {place} varies by {spread:.3g} around {present.mean():.6g}, which float32 hardly resolves; "
                "subtract its mean",
                stacklevel=3,
            )


def _padded(rows: Tensor) -> Tensor:
    """The rows with the last one repeated, up to a multiple of ``_ROWS_MULTIPLE``."""
    whole = -(-len(rows) // _ROWS_MULTIPLE) * _ROWS_MULTIPLE
    return rows[torch.arange(whole).clamp(max=len(rows) - 1)]


def _trained(preset: Preset, splits: Splits, seed: int) -> Flow:
    device = torch.device("cpu")
    state = fresh_state(preset, splits, seed, device)
    train(state, splits, preset, seed=seed, computing=Computing(graph=False), ranks=Ranks(device), hooks=Hooks())
    state.flow.load_state_dict(state.best)
    return state.flow.eval().requires_grad_(False)
