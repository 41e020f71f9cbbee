"""The Real NVP paper's CIFAR-10 experiment (Dinh, Sohl-Dickstein & Bengio 2017, table 1), which states 3.49 bits/dim.

Not run: it takes a GPU.
"""

from trainer.data import CIFAR10
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="cifar10-realnvp",
    model="cifar10-realnvp",
    data=CIFAR10,
    architecture="realnvp",
    arguments={"couplings": 3, "hidden": [64] * 8, "levels": 2, "alpha": 0.05},
    epochs=200,
    batch_size=64,
    learning_rate=1e-3,
    initial_items=2000,
    ema_decay=0.999,
    channels_last=True,
    smoke=Smoke(below=7.5, arguments={"couplings": 1, "hidden": [8]}, limit=1000, batch_size=50, learning_rate=1e-2),
)
