"""A NICE of MNIST that fits in five megabytes, to ship with the repository."""

from trainer.data import MNIST
from trainer.preset import Preset

PRESET = Preset(
    name="mnist-nice-small",
    model="mnist-nice",
    data=MNIST,
    architecture="nice",
    arguments={"couplings": 8, "hidden": [260] * 2, "prior": "logistic", "activation": "relu"},
    epochs=20,
    learning_rate=2e-3,
    weight_decay=0.3,
)
