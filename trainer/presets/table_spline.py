"""A table of your own, with spline couplings: ``sluice-train table-spline --data FILE``.

Bends every column as its values ask for, where table-nice can only shift them. Reaches what the data allow: see
docs/training.md for a run.
"""

from trainer.data import MOONS, OwnData
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="table-spline",
    model="my-table",
    data=OwnData(),
    architecture="spline",
    arguments={"couplings": 8, "hidden": [128, 128], "bins": 8, "prior": "logistic", "activation": "relu"},
    epochs=60,
    batch_size=100,
    learning_rate=1e-3,
    weight_decay=0.1,
    ema_decay=0.99,
    patience=10,
    precision="float32",  # bfloat16 would round a column's own values to three digits
    weights_dtype="float32",
    smoke=Smoke(below=1.3, limit=20_000, epochs=1, data=MOONS),
)
