"""The small MNIST flow, on Fashion-MNIST.

Reaches 1175.30 ± 6.05 nats (5.837 bits/dim) on the test set, matrices stored as bfloat16, on two CPU threads.
"""

from trainer.data import FASHION_MNIST
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="fashion-mnist-nice-small",
    model="fashion-mnist-nice",
    data=FASHION_MNIST,
    architecture="nice",
    arguments={"couplings": 8, "hidden": [260] * 2, "prior": "logistic", "activation": "relu"},
    epochs=20,
    learning_rate=2e-3,
    weight_decay=0.3,
    smoke=Smoke(below=7.3, arguments={"couplings": 4, "hidden": [100] * 2}, limit=5000, epochs=4),
)
