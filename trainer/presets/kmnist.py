"""Kuzushiji-MNIST, by the small NICE of MNIST."""

from dataclasses import replace

from trainer.data import KMNIST
from trainer.presets import mnist
from trainer.presets.preset import Smoke

# Not run: the training images were not available.
NICE_SMALL = replace(
    mnist.NICE_SMALL,
    name="kmnist-nice-small",
    model="kmnist-nice",
    data=KMNIST,
    smoke=Smoke(below=7.9, arguments={"couplings": 4, "hidden": [100] * 2}, limit=5000, epochs=4),
)

PRESETS = (NICE_SMALL,)
