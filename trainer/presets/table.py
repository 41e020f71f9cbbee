"""Any table of the user's own: ``sluice-train table --data FILE``. Sizes and steps follow from its rows and columns."""

from __future__ import annotations

import math
from dataclasses import replace

from trainer.data import MOONS, OwnData
from trainer.presets.preset import Preset, Smoke

TABLE = Preset(
    name="table",
    model="my-table",
    data=OwnData(),
    architecture="table",
    arguments={"coupling": "spline", "couplings": 6, "hidden": [64, 64], "bins": 8, "prior": "logistic"},
    epochs=20,
    batch_size=256,
    learning_rate=2e-3,
    weight_decay=0.3,
    ema_decay=0.99,
    keep_best=False,
    jitter=0.1,
    precision="float32",
    halved=False,
    smoke=Smoke(below=1.6, limit=20_000, epochs=1, data=MOONS),
)

SIMPLER = ("affine", "additive")
"""Couplings to fall back to, in this order, where a flow fails its self-test or its training diverges."""

_EPOCHS = 20
_STEPS_A_ROOT = 50
"""Steps for each square root of a training row. Ten tables of 35 to 350 training rows gained nothing from more."""
_FEWEST_STEPS, _MOST_STEPS = 300, 8_000
_MANY = 5_000
"""Training rows from which nets are larger: below, time goes into steps rather than size."""
_MOST_STEPS_OF_FEW = 700
"""Steps at most with fewer rows than that, since flows of folds are trained besides. At the rate below, two tables of
1,400 and 1,800 rows got as good a flow from 600 steps as from 2,000 at the preset's rate."""
_RATE_OF_CUT_STEPS = 3e-3


def planned(preset: Preset, rows: int, columns: int) -> Preset:
    """The preset ``table`` for ``rows`` training rows. Steps grow with the rows' root, up to a bound."""
    largest = 128 if rows < _MANY else 256 if rows < 20 * _MANY else 512
    batch = min(largest, max(16, 2 ** int(math.log2(max(rows, 64) / 4))), rows)
    wanted = max(_FEWEST_STEPS, _STEPS_A_ROOT * math.sqrt(rows))
    steps = round(min(wanted, _MOST_STEPS_OF_FEW if rows < _MANY else _MOST_STEPS))
    cut = rows < _MANY and steps < round(wanted)
    passes = max(1, round(steps * batch / (_EPOCHS * rows)))
    epochs = max(1, round(steps / (passes * rows // batch)))
    size = {"couplings": 4, "hidden": [64, 64]} if rows < _MANY else {"couplings": 6, "hidden": [96, 96]}
    return replace(
        preset,
        arguments={**preset.arguments, **size},
        batch_size=batch,
        passes=passes,
        epochs=epochs,
        learning_rate=_RATE_OF_CUT_STEPS if cut else preset.learning_rate,
        warmup_steps=min(200, max(10, steps // 10)),
        ema_decay=0.99 if steps < 2000 else 0.995,
        jitter=_bandwidth(rows, columns),
    )


def _bandwidth(rows: int, columns: int) -> float:
    """The noise that is added to rows, as a share of the data's spread.

    Up to a thousand rows it is 0.8 of Scott's bandwidth for kernel densities, n^(-1/(D + 4)), the best of 0.5, 0.8 and
    1.1 for the AUROC on six tables of 35 to 180 training rows. With more rows it falls faster: a flow needs less help.
    """
    return 0.8 * math.pow(rows, -1 / (columns + 4)) * math.sqrt(math.sqrt(min(1.0, 1000 / rows)))


def simpler(preset: Preset, coupling: str) -> Preset:
    """The preset with couplings of a more robust kind."""
    return replace(preset, arguments={**preset.arguments, "coupling": coupling})


PRESETS = (TABLE,)
