"""The user's own data: ``sluice-train PRESET --data PATH``. docs/training.md shows runs with their figures.

Images may have any one size, and tables any number of columns. Columns are standardised inside the flow, so densities
are in the table's own units. Tables are trained in float32: bfloat16 would round a column's values to three digits.
"""

from trainer.data import MNIST, MOONS, OwnData
from trainer.presets.preset import Preset, Smoke

IMAGES_NICE = Preset(
    name="images-nice",
    model="my-images",
    data=OwnData(),
    architecture="nice",
    arguments={"couplings": 8, "hidden": [260] * 2, "prior": "logistic", "activation": "relu"},
    epochs=40,
    batch_size=100,
    learning_rate=1e-3,
    weight_decay=0.3,
    ema_decay=0.99,
    patience=10,
    smoke=Smoke(below=5.55, arguments={"couplings": 4, "hidden": [100] * 2}, limit=5000, epochs=4, data=MNIST),
)

TABLE_NICE = Preset(
    name="table-nice",
    model="my-table",
    data=OwnData(),
    architecture="nice",
    arguments={
        "couplings": 8,
        "hidden": [128, 128],
        "prior": "logistic",  # its long tails tolerate outliers
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
    precision="float32",
    halved=False,
    smoke=Smoke(below=1.4, limit=20_000, epochs=6, data=MOONS),
)

# Splines bend every column as its values ask for, where the couplings of table-nice can only shift them.
TABLE_SPLINE = Preset(
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
    precision="float32",
    halved=False,
    smoke=Smoke(below=1.3, limit=20_000, epochs=1, data=MOONS),
)

PRESETS = (IMAGES_NICE, TABLE_NICE, TABLE_SPLINE)
