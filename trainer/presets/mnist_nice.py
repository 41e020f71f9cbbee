"""The NICE paper's MNIST experiment (Dinh, Krueger & Bengio 2014, section 5.1), whose table states 1980.50 nats.

Reaches 1932.19 ± 4.99 nats (4.444 bits/dim) on the test set in its twelve epochs, matrices stored as bfloat16, on two
CPU threads at about 33 seconds an epoch.
"""

from trainer.data import MNIST
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="mnist-nice",
    model="mnist-nice",
    data=MNIST,
    architecture="nice",
    arguments={"couplings": 4, "hidden": [1000] * 5, "prior": "logistic", "activation": "relu"},
    epochs=12,
    weight_decay=0.3,
    smoke=Smoke(below=5.55, arguments={"hidden": [100] * 5}, limit=5000, epochs=4),
)
