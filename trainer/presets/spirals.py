"""Two spiral arms in the plane. Figures are of the test set."""

from dataclasses import replace

from trainer.data import SPIRALS
from trainer.presets import moons
from trainer.presets.preset import Smoke

# Reaches -2.0330 ± 0.0078 nats.
NICE = replace(
    moons.NICE,
    name="spirals-nice",
    model="spirals-nice",
    data=SPIRALS,
    arguments={**moons.NICE.arguments, "couplings": 24},
    epochs=60,
    ema_decay=0.999,
    smoke=Smoke(below=2.65, limit=20_000, epochs=8, batch_size=250),
)

# Reaches -1.9131 ± 0.0071 nats.
REALNVP = replace(
    moons.REALNVP,
    name="spirals-realnvp",
    model="spirals-realnvp",
    data=SPIRALS,
    arguments={**moons.REALNVP.arguments, "couplings": 24},
    muon_rate=0.01,
    smoke=Smoke(below=2.6, limit=10_000, epochs=4, batch_size=250),
)

# Reaches -1.8808 ± 0.0072 nats.
SPLINE = replace(
    moons.SPLINE,
    name="spirals-spline",
    model="spirals",
    data=SPIRALS,
    smoke=Smoke(below=2.6, limit=10_000, epochs=3, batch_size=250),
)

PRESETS = (NICE, REALNVP, SPLINE)
