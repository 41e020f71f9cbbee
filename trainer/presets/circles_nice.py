"""Two concentric circles in the plane, bent out of one normal hill by volume-preserving couplings.

Reaches -2.3218 ± 0.0095 nats on the test set.
"""

from trainer.data import CIRCLES
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="circles-nice",
    model="circles",
    data=CIRCLES,
    architecture="nice",
    arguments={"couplings": 16, "hidden": [128], "prior": "normal", "activation": "leaky_relu", "image": False},
    epochs=30,
    batch_size=500,
    learning_rate=5e-3,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
    smoke=Smoke(below=2.95, limit=20_000, epochs=8, batch_size=250),
)
