"""What an experiment is: data, a flow's architecture, and how it is optimised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainer.data import DataSet
from trainer.device import Precision


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One experiment, whole: with the seed it fixes every number of a run on one machine.

    ``architecture`` and ``arguments`` go to ``flows.build``. The learning rate climbs over ``warmup_steps`` and then
    falls along a cosine to ``final_share`` of its peak; that of a diagonal scaling is ``scaling_boost`` times as high.
    Each step shrinks matrices by the share ``weight_decay`` of the learning rate (AdamW). ``clip_norm`` bounds the
    gradient of the mean negative log-likelihood per dimension. ``precision`` is what the nets multiply in where the
    user does not say; ``auto`` leaves it to the machine. ``weights_dtype`` is what matrices are stored in once
    published.
    """

    name: str
    model: str
    data: DataSet
    architecture: str
    arguments: Mapping[str, Any]
    epochs: int
    batch_size: int = 200
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    scaling_boost: float = 10.0
    weight_decay: float = 0.0
    warmup_steps: int = 200
    final_share: float = 0.02
    clip_norm: float = 4.0
    precision: Precision = "auto"
    weights_dtype: Literal["float32", "bfloat16"] = "bfloat16"
