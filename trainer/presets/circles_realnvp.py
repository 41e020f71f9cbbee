"""Two concentric circles in the plane, by affine couplings.

Reaches -2.1096 ± 0.0076 nats on the test set.
"""

from trainer.data import CIRCLES
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="circles-realnvp",
    model="circles-realnvp",
    data=CIRCLES,
    architecture="realnvp",
    arguments={"couplings": 12, "hidden": [64, 64], "activation": "leaky_relu", "image": False},
    epochs=60,
    batch_size=500,
    learning_rate=5e-3,
    ema_decay=0.999,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
    smoke=Smoke(below=2.9, limit=10_000, epochs=4, batch_size=250),
)
