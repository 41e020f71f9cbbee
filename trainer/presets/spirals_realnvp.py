"""Two spiral arms in the plane, by affine couplings.

Reaches -1.9131 ± 0.0071 nats on the test set.
"""

from trainer.data import SPIRALS
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="spirals-realnvp",
    model="spirals-realnvp",
    data=SPIRALS,
    architecture="realnvp",
    arguments={"couplings": 24, "hidden": [64, 64], "activation": "leaky_relu", "image": False},
    epochs=60,
    batch_size=500,
    learning_rate=5e-3,
    muon_rate=0.01,
    ema_decay=0.999,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
    smoke=Smoke(below=2.6, limit=10_000, epochs=4, batch_size=250),
)
