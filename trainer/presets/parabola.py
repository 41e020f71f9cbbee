"""A parabola in the plane. Figures are of the test set."""

from dataclasses import replace

from trainer.data import PARABOLA
from trainer.presets import moons
from trainer.presets.preset import Smoke

# Reaches -1.4596 ± 0.0102 nats.
NICE = replace(
    moons.NICE,
    name="parabola-nice",
    model="parabola-nice",
    data=PARABOLA,
    smoke=Smoke(below=2.2, limit=20_000, epochs=8, batch_size=250),
)

# Reaches -1.4588 ± 0.0102 nats.
REALNVP = replace(
    moons.REALNVP,
    name="parabola-realnvp",
    model="parabola",
    data=PARABOLA,
    smoke=Smoke(below=2.0, limit=10_000, epochs=4, batch_size=250),
)

PRESETS = (NICE, REALNVP)
