"""A table of your own: ``sluice-train table-nice --data FILE``, of as many columns as the file has.

Columns are standardised inside the flow, so that densities stay in the table's own units. Reaches what the data allow:
see docs/training.md for a run.
"""

from trainer.data import MOONS, OwnData
from trainer.preset import Preset, Smoke

PRESET = Preset(
    name="table-nice",
    model="my-table",
    data=OwnData(),
    architecture="nice",
    arguments={
        "couplings": 8,
        "hidden": [128, 128],
        "prior": "logistic",  # whose tails forgive an outlier
        "activation": "leaky_relu",
        "whitening": "standardise",
        "image": False,
    },
    epochs=100,
    batch_size=100,
    learning_rate=2e-3,
    weight_decay=0.3,
    ema_decay=0.99,
    patience=15,
    precision="float32",  # bfloat16 would round a column's own values to three digits
    weights_dtype="float32",
    smoke=Smoke(below=1.4, limit=20_000, epochs=6, data=MOONS),
)
