"""The Toronto Face Database, by the NICE paper's experiment (Dinh, Krueger & Bengio 2014)."""

from trainer.data import FASHION_MNIST, TFD
from trainer.presets.preset import Preset, Smoke

# Approximate whitening, normal prior, 4x5000. The paper's table states 5514.71 nats.
# Not run: the data are given out on request only.
NICE = Preset(
    name="tfd-nice",
    model="tfd-nice",
    data=TFD,
    architecture="nice",
    arguments={
        "couplings": 4,
        "hidden": [5000] * 4,
        "prior": "normal",
        "activation": "relu",
        "whitening": "approximate",
    },
    initial_items=50_000,  # a covariance of 2304 dimensions needs many items
    epochs=50,
    weight_decay=0.3,
    ema_decay=0.999,
    patience=10,
    smoke=Smoke(
        below=6.69, arguments={"hidden": [100] * 2}, limit=5000, epochs=6, learning_rate=3e-3, data=FASHION_MNIST
    ),
)

PRESETS = (NICE,)
