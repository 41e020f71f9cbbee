"""The Glow paper's CIFAR-10 experiment (Kingma & Dhariwal 2018, table 2), which states 3.35 bits/dim.

Not run: it takes a GPU.
"""

from trainer.data import CIFAR10
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="cifar10-glow",
    model="cifar10-glow",
    data=CIFAR10,
    architecture="glow",
    arguments={"steps": 32, "hidden": [512] * 2, "levels": 3, "alpha": 0.05},
    epochs=400,
    batch_size=64,
    learning_rate=1e-3,
    initial_items=2000,
    ema_decay=0.999,
    channels_last=True,
    smoke=Smoke(below=7, arguments={"steps": 1, "hidden": [8]}, limit=2000, epochs=1, batch_size=50),
)
