"""The small MNIST flow, on Fashion-MNIST."""

from trainer.data import FASHION_MNIST
from trainer.preset import Preset

PRESET = Preset(
    name="fashion-mnist-nice-small",
    model="fashion-mnist-nice",
    data=FASHION_MNIST,
    architecture="nice",
    arguments={"couplings": 8, "hidden": [260] * 2, "prior": "logistic", "activation": "relu"},
    epochs=20,
    learning_rate=2e-3,
    weight_decay=0.3,
)
