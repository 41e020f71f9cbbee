"""The small MNIST flow, on Kuzushiji-MNIST.

Not run: the training images were not at hand.
"""

from trainer.data import KMNIST
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="kmnist-nice-small",
    model="kmnist-nice",
    data=KMNIST,
    architecture="nice",
    arguments={"couplings": 8, "hidden": [260] * 2, "prior": "logistic", "activation": "relu"},
    epochs=20,
    learning_rate=2e-3,
    weight_decay=0.3,
    smoke=Smoke(below=7.9, arguments={"couplings": 4, "hidden": [100] * 2}, limit=5000, epochs=4),
)
