"""Two spiral arms in the plane, bent out of one logistic hill by volume-preserving couplings."""

from trainer.data import SPIRALS
from trainer.preset import Preset

PRESET = Preset(
    name="spirals-nice",
    model="spirals",
    data=SPIRALS,
    architecture="nice",
    arguments={"couplings": 8, "hidden": [64, 64], "prior": "logistic", "activation": "leaky_relu", "image": False},
    epochs=20,
    batch_size=500,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
)
