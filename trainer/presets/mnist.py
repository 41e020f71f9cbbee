"""MNIST.

Figures are of the test set, with matrices stored as bfloat16.
"""

from trainer.data import MNIST
from trainer.presets.preset import Preset, Smoke

# The NICE paper's experiment (Dinh, Krueger & Bengio 2014, section 5.1), whose table states 1980.50 nats.
# Reaches 1932.19 ± 4.99 nats (4.444 bits/dim) in its twelve epochs, on two CPU threads at about 33 seconds an epoch.
NICE = Preset(
    name="mnist-nice",
    model="mnist-nice",
    data=MNIST,
    architecture="nice",
    arguments={"couplings": 4, "hidden": [1000] * 5, "prior": "logistic", "activation": "relu"},
    epochs=12,
    weight_decay=0.3,
    smoke=Smoke(below=5.55, arguments={"hidden": [100] * 5}, limit=5000, epochs=4),
)

# A NICE in five megabytes, to ship with the repository: many narrow couplings instead of four wide ones.
# Reaches 2059.97 ± 5.27 nats (4.209 bits/dim), on two CPU threads.
NICE_SMALL = Preset(
    name="mnist-nice-small",
    model="mnist-nice",
    data=MNIST,
    architecture="nice",
    arguments={"couplings": 8, "hidden": [260] * 2, "prior": "logistic", "activation": "relu"},
    epochs=20,
    learning_rate=2e-3,
    weight_decay=0.3,
    smoke=Smoke(below=5.45, arguments={"couplings": 4, "hidden": [100] * 2}, limit=5000, epochs=4),
)

# A lattice flow in two megabytes: the likelihood that ships.
# Reaches 3814.48 ± 1.36 nats (0.981 bits/dim), on one CPU thread, and 3833.35 ± 1.42 (0.946) after 23 more
# epochs (--start). The first pixels are drawn one by one, so that samples are coherent, and a step takes half of the
# places, which costs it half (docs/results.md).
LATTICE = Preset(
    name="mnist-lattice",
    model="mnist",
    data=MNIST,
    architecture="lattice",
    arguments={"width": 64, "blocks": 3, "components": 8, "joint": True, "head_layers": 2, "quartered": 3},
    initial_items=100,  # this architecture has no data-dependent parameters
    epochs=7,
    batch_size=120,  # a multiple of ten: see LatticeFlow.log_prob_from_few_places
    learning_rate=3e-3,
    weight_decay=0.02,
    muon_rate=0.02,
    clip_norm=0.5,
    ema_decay=0.998,
    half_places=True,
    channels_last=True,
    smoke=Smoke(below=1.7, arguments={"width": 16, "blocks": 1, "components": 4}, epochs=4, learning_rate=5e-3),
)

# A small Real NVP: two scales, checkerboards and channels, residual nets of 24 channels.
# Reaches 3500.59 ± 1.56 nats (1.558 bits/dim), on one CPU thread.
REALNVP = Preset(
    name="mnist-realnvp",
    model="mnist-realnvp",
    data=MNIST,
    architecture="realnvp",
    arguments={"couplings": 2, "hidden": [24] * 2, "levels": 2, "alpha": 1e-3},
    epochs=4,
    batch_size=100,
    learning_rate=3e-3,
    initial_items=2000,
    ema_decay=0.999,
    channels_last=True,
    smoke=Smoke(below=2.75, arguments={"couplings": 1, "hidden": [16]}, limit=2000, epochs=1, batch_size=50),
)

# A small Glow: two scales of six steps, nets of 64 channels.
# Reaches 3626.46 ± 1.53 nats (1.327 bits/dim), on one CPU thread.
GLOW = Preset(
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

PRESETS = (NICE, NICE_SMALL, LATTICE, REALNVP, GLOW)
