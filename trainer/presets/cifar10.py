"""CIFAR-10, by a lattice flow, a convolutional NICE and three papers' experiments. Docs/results.md tells which ran."""

from trainer.data import CIFAR10
from trainer.presets.preset import Preset, Smoke

# A lattice flow in ten megabytes, all colours of a pixel by one pass of a net. Heads have a second layer, in which a
# pixel's earlier colours meet what is known of the other pixels. The first pixels are drawn one by one: where sixteen
# were independent, samples of digits lost most of their likelihood (docs/results.md). Means start from a linear guess:
# without it, three epochs reached what one reaches with it.
# Densities are flat within grey levels: smooth ones cost 0.086 bits/dim more with the same weights.
# The rate falls over the last seven tenths, for runs on a CPU are short; --start takes one further. On a GPU a step of
# more items takes about as long: what ships began with --batch-size 250 --minutes 15.5 there.
LATTICE = Preset(
    name="cifar10",
    model="cifar10",
    data=CIFAR10,
    architecture="lattice",
    arguments={
        "width": 128,
        "blocks": 4,
        "components": 10,
        "joint": True,
        "head_layers": 2,
        "quartered": 3,
        "interpolate": True,
        "stepped": True,
    },
    initial_items=100,  # this architecture has no data-dependent parameters
    epochs=60,
    batch_size=40,  # a multiple of five: see LatticeFlow.log_prob_from_few_places
    learning_rate=2e-3,
    decay_share=0.7,
    weight_decay=0.02,
    muon_rate=0.012,
    clip_norm=0.5,
    ema_decay=0.999,
    flip=True,
    half_places=True,
    channels_last=True,
    smoke=Smoke(
        below=5.5, arguments={"width": 16, "blocks": 1, "components": 4}, limit=500, batch_size=25, learning_rate=5e-3
    ),
)

# The NICE paper's experiment (Dinh, Krueger & Bengio 2014, section 5.1): ZCA, logistic prior, 4x2000.
# Its table states 5371.78 nats for pixels that span [-1, 1]: 7501.13 in the units here, 4.48 bits/dim.
# A covariance of 3072 dimensions from 45,000 images is the weak point, so whitening and training take mirror images
# too, and images of high contrast count less. Whitening and scaling alone reach 7612.9 ± 14.8 nats on the test set, and
# with scales of unit variance, which is the initial state, 7567.6 ± 11.8: a run never publishes less by validation.
# Fully connected nets hardly add to that (docs/results.md), and at a rate of 3e-4 they took 40 nats in the first epoch.
# So the rate is low and the run short. It mostly fits the scales.
NICE = Preset(
    name="cifar10-nice",
    model="cifar10-nice",
    data=CIFAR10,
    architecture="nice",
    arguments={
        "couplings": 4,
        "hidden": [2000] * 4,
        "prior": "logistic",
        "activation": "relu",
        "whitening": "robust-zca",
    },
    initial_items=50_000,  # all there are
    epochs=12,
    batch_size=500,
    learning_rate=1e-4,
    weight_decay=0.3,
    ema_decay=0.99,
    patience=4,
    flip=True,
    smoke=Smoke(below=5.8, arguments={"hidden": [50] * 4}, limit=5000, learning_rate=1e-3),
)

# NICE after the same whitening, with small convolutional nets in place of the paper's: 48 thousand parameters, not 73
# million. In a short try it was 86 nats above its linear part after 20,000 images (docs/results.md).
NICE_CONVOLUTIONAL = Preset(
    name="cifar10-nice-conv",
    model="cifar10-nice-conv",
    data=CIFAR10,
    architecture="nice",
    arguments={
        "couplings": 4,
        "hidden": [64] * 2,
        "prior": "logistic",
        "activation": "relu",
        "whitening": "robust-zca",
        "convolutional": True,
    },
    initial_items=50_000,  # all there are
    epochs=10,
    batch_size=100,
    learning_rate=4e-3,
    weight_decay=0.02,
    ema_decay=0.999,
    flip=True,
    smoke=Smoke(below=5.8, arguments={"hidden": [16] * 2}, limit=5000),
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

PRESETS = (LATTICE, NICE, NICE_CONVOLUTIONAL, REALNVP, GLOW)
