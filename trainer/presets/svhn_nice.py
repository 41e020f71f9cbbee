"""The NICE paper's SVHN experiment (Dinh, Krueger & Bengio 2014, section 5.1): ZCA, logistic prior, 4x2000.

Its table states 11496.55 nats. Not run: the files were not at hand.
"""

from trainer.data import CIFAR10, SVHN
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="svhn-nice",
    model="svhn-nice",
    data=SVHN,
    architecture="nice",
    arguments={"couplings": 4, "hidden": [2000] * 4, "prior": "logistic", "activation": "relu", "whitening": "zca"},
    initial_items=50_000,  # a covariance of 3072 dimensions wants many items
    epochs=100,
    weight_decay=0.3,
    ema_decay=0.999,
    patience=15,
    smoke=Smoke(below=5.8, arguments={"hidden": [50] * 4}, limit=5000, data=CIFAR10),
)
