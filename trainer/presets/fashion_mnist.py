"""Fashion-MNIST, by two flows of MNIST's.

Figures are of the test set, with matrices stored as bfloat16.
"""

from dataclasses import replace

from trainer.data import FASHION_MNIST
from trainer.presets import mnist
from trainer.presets.preset import Smoke

# Reaches 1175.30 ± 6.05 nats (5.837 bits/dim), on two CPU threads.
NICE_SMALL = replace(
    mnist.NICE_SMALL,
    name="fashion-mnist-nice-small",
    model="fashion-mnist-nice",
    data=FASHION_MNIST,
    smoke=Smoke(below=7.3, arguments={"couplings": 4, "hidden": [100] * 2}, limit=5000, epochs=4),
)

# Reaches 2786.13 ± 4.71 nats (2.873 bits/dim), on one CPU thread, and 2801.10 ± 4.68 (2.845) after 23 more epochs.
LATTICE = replace(
    mnist.LATTICE,
    name="fashion-mnist-lattice",
    model="fashion-mnist",
    data=FASHION_MNIST,
    smoke=Smoke(below=4.5, arguments={"width": 16, "blocks": 1, "components": 4}, epochs=4, learning_rate=5e-3),
)

PRESETS = (NICE_SMALL, LATTICE)
