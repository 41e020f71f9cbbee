"""What an experiment is: data, a flow's architecture, and how it is optimised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainer.data import DataSet
from trainer.device import Precision


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """How an experiment is made small enough for seconds, and the loss that it must then fall below.

    ``below`` is a mean over test items: bits per dimension for images, negative nats for vectors. ``arguments`` go over
    the preset's own. Data of the user's, which nobody else has, name a stand-in.
    """

    below: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 2000
    epochs: int = 2
    batch_size: int = 100
    learning_rate: float | None = None
    data: DataSet | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One experiment, whole: with the seed it fixes every number of a run on one machine.

    ``architecture`` and ``arguments`` go to ``flows.build``; data-dependent parameters start from the first
    ``initial_items`` of the training set, all at once.

    The learning rate climbs over ``warmup_steps`` and then, by ``schedule``, stays or falls along a cosine to
    ``final_share`` of its peak; that of a diagonal scaling is ``scaling_boost`` times as high. Each step shrinks the
    matrices of linear and convolution layers by the share ``weight_decay`` of the learning rate (AdamW). ``clip_norm``
    bounds the gradient of the mean negative log-likelihood per dimension.

    With a ``muon_rate`` the matrices inside nets are trained by Muon (see ``trainer.muon``) at that peak rate: all but
    those of layers that answer, which start at zero. Everything else stays with AdamW.

    With ``ema_decay`` (0.999, say) what is validated, kept and published is the exponential moving average of the
    weights; 0 keeps none. ``patience`` ends a run after so many epochs without a better validation; None goes through
    all ``epochs``.

    ``precision`` is what the nets multiply in where the user does not say: ``bfloat16`` is autocast, ``auto`` leaves it
    to the machine. ``channels_last`` lays out the weights of convolutions as the hardware likes them.
    ``weights_dtype`` is what matrices are stored in once published. ``smoke`` is its line in ``make results-smoke``.
    """

    name: str
    model: str
    data: DataSet
    architecture: str
    arguments: Mapping[str, Any]
    initial_items: int = 10_000
    epochs: int
    batch_size: int = 200
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    scaling_boost: float = 10.0
    weight_decay: float = 0.0
    muon_rate: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = 200
    final_share: float = 0.02
    clip_norm: float = 4.0
    ema_decay: float = 0.0
    patience: int | None = None
    precision: Precision = "auto"
    channels_last: bool = False
    weights_dtype: Literal["float32", "bfloat16"] = "bfloat16"
    smoke: Smoke | None = None
