"""A parabola in the plane, by affine couplings.

Reaches -1.4588 ± 0.0102 nats on the test set.
"""

from trainer.data import PARABOLA
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="parabola-realnvp",
    model="parabola",
    data=PARABOLA,
    architecture="realnvp",
    arguments={"couplings": 12, "hidden": [64, 64], "activation": "leaky_relu", "image": False},
    epochs=60,
    batch_size=500,
    learning_rate=5e-3,
    ema_decay=0.999,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
    smoke=Smoke(below=2.0, limit=10_000, epochs=4, batch_size=250),
)
