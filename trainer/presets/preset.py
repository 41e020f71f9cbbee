"""What a preset is: data, a flow's architecture, how it is optimised, and how it is made small for a quick check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainer.data import DataSet

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """How a preset is made small enough to train in seconds, and the loss that it must then fall below."""

    below: float
    """Mean loss of test items: bits per dimension for images, negative nats for vectors."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Replace arguments of the same name in the preset."""
    limit: int = 2000
    """Training items."""
    epochs: int = 2
    batch_size: int = 100
    """An upper bound of the preset's own."""
    learning_rate: float | None = None
    data: DataSet | None = None
    """Other data for a preset whose own are a user's or hard to get."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One experiment. Together with a seed it determines every number of a run on one machine."""

    name: str
    """What ``sluice-train`` calls it."""
    model: str
    """The name that its model is published under."""
    data: DataSet
    architecture: str
    """The name of a builder in ``flows.build``."""
    arguments: Mapping[str, Any]
    """Arguments of the builder."""
    initial_items: int = 10_000
    """Training items from which data-dependent parameters are initialised, as one batch."""
    epochs: int
    """Epochs; without effect where ``minutes`` are given."""
    passes: int = 1
    """Passes over the training set that make an epoch: of few rows, one pass is a few steps."""
    minutes: float | None = None
    """A budget of wall-clock time for the whole run, from reading the data to publishing; the schedule follows it."""
    further: float | None = None
    """What the flows of folds cost after the run, as a multiple of its steps: ``minutes`` pay for them too."""
    keep_best: bool = True
    """Whether the epoch with the best validation is kept; otherwise the last, and validation items decide nothing."""
    batch_size: int = 200
    learning_rate: float = 1e-3
    """The peak rate, after a linear warm-up."""
    decay_share: float | None = None
    """The last share of a run, in which the rate falls linearly after being constant; None for a cosine over all of it.

    Until then a run does not depend on its length, so it may be resumed with another one: to end it early, or later
    (Hägele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training durations", arXiv:2405.18392).
    """
    warmup_steps: int = 200
    weight_decay: float = 0.0
    """In each step the matrices of linear and convolution layers shrink by the learning rate times this (AdamW)."""
    muon_rate: float = 0.0
    """The peak rate at which Muon trains the matrices inside nets (see ``trainer.optimisers``); 0 for AdamW alone."""
    clip_norm: float = 4.0
    """Upper bound of the norm of the gradient of the mean negative log-likelihood per dimension."""
    ema_decay: float = 0.0
    """Decay of a moving average of the weights, which is then validated, kept and published; 0 for no average."""
    jitter: float = 0.0
    """Normal noise added to vectors while training, with the covariance of the data times the square of this.

    It keeps a flow from concentrating on single rows (Rothfuss et al. 2019, "Noise regularization for conditional
    density estimation", arXiv:1907.08982).
    """
    patience: int | None = None
    """Epochs without a better validation after which a run ends; None to go through all epochs."""
    precision: Precision = "auto"
    """What nets multiply in: ``bfloat16`` is autocast, ``auto`` takes it where the hardware is fast at it."""
    flip: bool = False
    """Whether each training image is turned over from left to right every other time."""
    half_places: bool = False
    """Whether a step sees half of each image's places (``LatticeFlow.half_log_prob``); for joint lattice flows."""
    channels_last: bool = False
    """Whether convolution weights lie in the channels-last memory format."""
    halved: bool = True
    """Whether matrices are published in 16 bits, instead of float32 (``model_store.half_dtype``)."""
    smoke: Smoke | None = None

    def steps_of(self, items: int) -> int:
        """The steps of an epoch over so many training items."""
        return self.passes * items // self.batch_size
