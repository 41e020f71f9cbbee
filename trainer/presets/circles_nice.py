"""Two concentric circles in the plane, bent out of one logistic hill by volume-preserving couplings."""

from trainer.data import CIRCLES
from trainer.preset import Preset

PRESET = Preset(
    name="circles-nice",
    model="circles",
    data=CIRCLES,
    architecture="nice",
    arguments={"couplings": 8, "hidden": [64, 64], "prior": "logistic", "activation": "leaky_relu", "image": False},
    epochs=20,
    batch_size=500,
    precision="float32",  # bfloat16 would round a point's own coordinates to three digits
    weights_dtype="float32",
)
