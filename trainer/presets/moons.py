"""Two moons in the plane, by each kind of flow for vectors. The other data sets in the plane start from these presets.

Figures are of the test set. Everything is in float32: bfloat16 would round a point's coordinates to three digits.
"""

from dataclasses import replace

from trainer.data import MOONS
from trainer.presets.preset import Preset, Smoke

# Volume-preserving couplings. Reaches -0.8300 ± 0.0078 nats.
NICE = Preset(
    name="moons-nice",
    model="moons-nice",
    data=MOONS,
    architecture="nice",
    arguments={"couplings": 16, "hidden": [128], "prior": "normal", "activation": "leaky_relu", "image": False},
    epochs=30,
    batch_size=500,
    learning_rate=5e-3,
    precision="float32",
    halved=False,
    smoke=Smoke(below=1.4, limit=20_000, epochs=8, batch_size=250),
)

# Affine couplings. Reaches -0.7840 ± 0.0075 nats.
REALNVP = Preset(
    name="moons-realnvp",
    model="moons-realnvp",
    data=MOONS,
    architecture="realnvp",
    arguments={"couplings": 12, "hidden": [64, 64], "activation": "leaky_relu", "image": False},
    epochs=60,
    batch_size=500,
    learning_rate=5e-3,
    ema_decay=0.999,
    precision="float32",
    halved=False,
    smoke=Smoke(below=1.4, limit=10_000, epochs=4, batch_size=250),
)

# Rational-quadratic splines. Reaches -0.7799 ± 0.0075 nats.
SPLINE = replace(
    REALNVP,
    name="moons-spline",
    model="moons",
    architecture="spline",
    arguments={"couplings": 6, "hidden": [64, 64], "bins": 8},
    learning_rate=3e-3,
    smoke=Smoke(below=1.4, limit=10_000, epochs=3, batch_size=250),
)

PRESETS = (NICE, REALNVP, SPLINE)
