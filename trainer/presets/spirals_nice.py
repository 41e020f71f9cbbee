"""Two spiral arms in the plane, bent out of one normal hill by volume-preserving couplings.

Reaches -2.0330 ± 0.0078 nats on the test set.
"""

from trainer.data import SPIRALS
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="spirals-nice",
    model="spirals-nice",
    data=SPIRALS,
    architecture="nice",
    arguments={"couplings": 24, "hidden": [128], "prior": "normal", "activation": "leaky_relu", "image": False},
    epochs=60,
    batch_size=500,
    learning_rate=5e-3,
    ema_decay=0.999,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
    smoke=Smoke(below=2.65, limit=20_000, epochs=8, batch_size=250),
)
