"""Two concentric circles in the plane, by rational-quadratic splines.

Reaches -2.0618 ± 0.0070 nats on the test set.
"""

from trainer.data import CIRCLES
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="circles-spline",
    model="circles",
    data=CIRCLES,
    architecture="spline",
    arguments={"couplings": 6, "hidden": [64, 64], "bins": 8},
    epochs=60,
    batch_size=500,
    learning_rate=3e-3,
    ema_decay=0.999,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
    smoke=Smoke(below=2.9, limit=10_000, epochs=3, batch_size=250),
)
