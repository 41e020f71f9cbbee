"""A parabola in the plane, bent out of one normal hill by volume-preserving couplings.

Reaches -1.4596 ± 0.0102 nats on the test set.
"""

from trainer.data import PARABOLA
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="parabola-nice",
    model="parabola-nice",
    data=PARABOLA,
    architecture="nice",
    arguments={"couplings": 16, "hidden": [128], "prior": "normal", "activation": "leaky_relu", "image": False},
    epochs=30,
    batch_size=500,
    learning_rate=5e-3,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
    smoke=Smoke(below=2.2, limit=20_000, epochs=8, batch_size=250),
)
