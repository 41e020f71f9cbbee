"""The NICE paper's MNIST experiment (Dinh, Krueger & Bengio 2014, section 5.1), whose table states 1980.50 nats."""

from trainer.data import MNIST
from trainer.preset import Preset

PRESET = Preset(
    name="mnist-nice",
    model="mnist-nice",
    data=MNIST,
    architecture="nice",
    arguments={"couplings": 4, "hidden": [1000] * 5, "prior": "logistic", "activation": "relu"},
    epochs=12,
    weight_decay=0.3,
)
