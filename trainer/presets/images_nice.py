"""Pictures of your own: ``sluice-train images-nice --data FOLDER``, of whatever one size they have.

Reaches what the data allow: see docs/training.md for a run.
"""

from trainer.data import MNIST, OwnData
from trainer.preset import Preset, Smoke

PRESET = Preset(
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
