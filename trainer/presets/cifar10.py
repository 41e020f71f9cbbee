"""CIFAR-10, by the experiments of three papers. None was run: they take a GPU."""

from trainer.data import CIFAR10
from trainer.presets.preset import Preset, Smoke

# The NICE paper's experiment (Dinh, Krueger & Bengio 2014, section 5.1): ZCA, logistic prior, 4x2000.
# Its table states 5371.78 nats for pixels that span [-1, 1]: 7501.13 in the units here, 4.48 bits/dim.
NICE = Preset(
    name="cifar10-nice",
    model="cifar10-nice",
    data=CIFAR10,
    architecture="nice",
    arguments={"couplings": 4, "hidden": [2000] * 4, "prior": "logistic", "activation": "relu", "whitening": "zca"},
    initial_items=50_000,  # all there are: a covariance of 3072 dimensions needs many items
    epochs=100,
    weight_decay=0.3,
    ema_decay=0.999,
    patience=15,
    smoke=Smoke(below=5.8, arguments={"hidden": [50] * 4}, limit=5000),
)

# The Real NVP paper's experiment (Dinh, Sohl-Dickstein & Bengio 2017, table 1), which states 3.49 bits/dim.
REALNVP = Preset(
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

# The Glow paper's experiment (Kingma & Dhariwal 2018, table 2), which states 3.35 bits/dim.
GLOW = Preset(
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

PRESETS = (NICE, REALNVP, GLOW)
