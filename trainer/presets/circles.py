"""Two concentric circles in the plane. Figures are of the test set."""

from dataclasses import replace

from trainer.data import CIRCLES
from trainer.presets import moons
from trainer.presets.preset import Smoke

# Reaches -2.2080 ± 0.0083 nats.
NICE = replace(
    moons.NICE,
    name="circles-nice",
    model="circles-nice",
    data=CIRCLES,
    arguments={**moons.NICE.arguments, "couplings": 24},
    epochs=60,
    ema_decay=0.999,
    smoke=Smoke(below=2.95, limit=20_000, epochs=8, batch_size=250),
)

# Reaches -2.1096 ± 0.0076 nats.
REALNVP = replace(
    moons.REALNVP,
    name="circles-realnvp",
    model="circles-realnvp",
    data=CIRCLES,
    smoke=Smoke(below=2.9, limit=10_000, epochs=4, batch_size=250),
)

# Reaches -2.0618 ± 0.0070 nats.
SPLINE = replace(
    moons.SPLINE,
    name="circles-spline",
    model="circles",
    data=CIRCLES,
    smoke=Smoke(below=2.9, limit=10_000, epochs=3, batch_size=250),
)

PRESETS = (NICE, REALNVP, SPLINE)
