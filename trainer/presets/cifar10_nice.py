"""The NICE paper's CIFAR-10 experiment (Dinh, Krueger & Bengio 2014, section 5.1): ZCA, logistic prior, 4x2000.

Its table states 5371.78 nats for pixels that span [-1, 1]: 7501.13 in the units here, 4.48 bits/dim. Not run yet.
"""

from trainer.data import CIFAR10
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="cifar10-nice",
    model="cifar10-nice",
    data=CIFAR10,
    architecture="nice",
    arguments={"couplings": 4, "hidden": [2000] * 4, "prior": "logistic", "activation": "relu", "whitening": "zca"},
    initial_items=50_000,  # a covariance of 3072 dimensions wants all items that there are
    epochs=100,
    weight_decay=0.3,
    ema_decay=0.999,
    patience=15,
    smoke=Smoke(below=5.8, arguments={"hidden": [50] * 4}, limit=5000),
)
