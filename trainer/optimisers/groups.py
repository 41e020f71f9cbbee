"""The optimiser of a flow: which parameters are trained by which rule, at which rate and with which decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flows import DiagonalScaling, Flow
from trainer.optimisers.adam import FusedAdamW
from trainer.optimisers.muon import Muon
from trainer.presets import Preset

SCALING_BOOST = 10.0
"""How many times as high as that of other parameters the learning rate of a diagonal scaling is."""
BETAS = (0.9, 0.99)
"""Decay of AdamW's first and second moments."""


def optimiser_of(flow: Flow, preset: Preset) -> FusedAdamW:
    """AdamW for all parameters of a flow, or Muon and AdamW where the preset has a rate for Muon.

    On CUDA the learning rates are tensors there, so that a recorded step sees them change.
    """
    kind = Muon if preset.muon_rate else FusedAdamW
    on_cuda = flow.device.type == "cuda"
    optimiser = kind(parameter_groups(flow, preset), betas=BETAS, fused=True, capturable=on_cuda)
    if on_cuda:
        for group in optimiser.param_groups:
            group["lr"] = torch.zeros((), device=flow.device)
    return optimiser


def parameter_groups(flow: Flow, preset: Preset) -> list[dict[str, Any]]:
    """Every parameter of a flow, in groups that differ in decay, in optimiser, and in the factor of their rate.

    ``boost`` is what the scheduled learning rate is multiplied by for the group. The groups are matrices of nets, all
    other parameters, log-scales of diagonal scalings and, with a ``muon_rate``, the matrices that Muon trains.

    The matrices and kernels of nets decay; biases and the parameters of transforms do not. Muon takes the matrices of
    nets except those that are zero: the last layers, which start there.

    The log-scales learn faster because they have whole units to go while couplings take the variance out of the data.
    Adam moves a parameter by at most about one learning rate a step, so at the rate that suits a net's weights the
    log-scales would hold up everything else.
    """
    nets = {id(layer.weight) for layer in flow.modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    scales = {id(module.log_scale) for module in flow.modules() if isinstance(module, DiagonalScaling)}
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "inner": [], "scales": [], "others": []}
    for parameter in flow.parameters():
        if id(parameter) in nets:
            inner = preset.muon_rate and bool(parameter.any())
            groups["inner" if inner else "matrices"].append(parameter)
        else:
            groups["scales" if id(parameter) in scales else "others"].append(parameter)
    by_adam = [
        {"params": groups["matrices"], "boost": 1.0, "weight_decay": preset.weight_decay},
        {"params": groups["others"], "boost": 1.0, "weight_decay": 0.0},
        {"params": groups["scales"], "boost": SCALING_BOOST, "weight_decay": 0.0},
    ]
    if not groups["inner"]:
        return by_adam
    boost = preset.muon_rate / preset.learning_rate
    return [*by_adam, {"params": groups["inner"], "boost": boost, "weight_decay": preset.weight_decay, "muon": True}]
