"""The experiments that ``sluice-train`` knows by name: a file for each data set, with the figures that they reach.

A new file is added to the tuple below.
"""

from trainer.presets import (
    cifar10,
    circles,
    fashion_mnist,
    kmnist,
    mnist,
    moons,
    own,
    parabola,
    pictures,
    spirals,
    svhn,
    table,
    tfd,
)
from trainer.presets.preset import Precision, Preset, Smoke

_DATA_SETS = (mnist, fashion_mnist, kmnist, cifar10, svhn, tfd, moons, circles, spirals, parabola, own, table, pictures)

PRESETS: dict[str, Preset] = {preset.name: preset for data_set in _DATA_SETS for preset in data_set.PRESETS}

__all__ = ["PRESETS", "Precision", "Preset", "Smoke"]
