"""Two moons in the plane, bent out of one normal hill by volume-preserving couplings.

Reaches -0.8300 ± 0.0078 nats on the test set.
"""

from trainer.data import MOONS
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="moons-nice",
    model="moons-nice",
    data=MOONS,
    architecture="nice",
    arguments={"couplings": 16, "hidden": [128], "prior": "normal", "activation": "leaky_relu", "image": False},
    epochs=30,
    batch_size=500,
    learning_rate=5e-3,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
    smoke=Smoke(below=1.4, limit=20_000, epochs=8, batch_size=250),
)
