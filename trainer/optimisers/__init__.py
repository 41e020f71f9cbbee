"""Optimisers, the groups of parameters that they train, and schedules."""

from trainer.optimisers.adam import FusedAdamW
from trainer.optimisers.groups import optimiser_of, parameter_groups
from trainer.optimisers.muon import Muon
from trainer.optimisers.schedule import ema_decay, learning_rate

__all__ = ["FusedAdamW", "Muon", "ema_decay", "learning_rate", "optimiser_of", "parameter_groups"]
