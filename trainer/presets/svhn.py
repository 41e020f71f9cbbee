"""SVHN, by the NICE paper's experiment (Dinh, Krueger & Bengio 2014, section 5.1): ZCA, logistic prior, 4x2000."""

from dataclasses import replace

from trainer.data import CIFAR10, SVHN
from trainer.presets import cifar10
from trainer.presets.preset import Smoke

# The paper's table states 11496.55 nats. Not run: the files were not available.
NICE = replace(
    cifar10.NICE,
    name="svhn-nice",
    model="svhn-nice",
    data=SVHN,
    flip=False,  # digits
    smoke=Smoke(below=5.8, arguments={"hidden": [50] * 4}, limit=5000, data=CIFAR10),
)

PRESETS = (NICE,)
