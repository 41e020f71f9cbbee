"""Tables.

Fits the estimator of scikit-learn's kind to rows of a table, judges new rows, and asks which column is at fault. One of
the new rows has a current that does not go with its load; each column alone is as usual as ever.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from docs.gallery._script import BLUE, GREY, ORANGE, options, save
from trainer.detector import FlowDetector

chosen = options(__doc__)
random = np.random.default_rng(0)
COLUMNS = ["load", "current", "vibration"]


def readings(n: int) -> np.ndarray:
    """Pumps: current and vibration both follow the load."""
    load = random.normal(60, 10, n)
    return np.stack([load, 0.2 * load + random.normal(0, 0.4, n), load / 60 + random.normal(0, 0.05, n)], axis=1)


rows = readings(20 if chosen.short else 400)
detector = FlowDetector(alpha=0.05, max_steps=3 if chosen.short else None).fit(rows)
new = readings(6)
new[2] = 72, 9.5, 1.2  # the vibration goes with the load, the current does not

p_values, (gain, expected) = detector.p_values(new), detector.contributions(new)
worst = int(gain[2].argmax())
print(f"p-values of the new rows: {np.round(p_values, 3)}")
print(f"row 2: {COLUMNS[worst]} is {new[2, worst]:.1f}, where about {expected[2, worst]:.1f} was expected")

figure = Figure(figsize=(8, 3), layout="constrained")
left, right = figure.subplots(1, 2)
left.scatter(rows[:, 0], rows[:, 1], s=6, color=GREY, label="fitted")
left.scatter(new[:, 0], new[:, 1], s=30, color=BLUE, label="new")
left.scatter(*new[2, :2], s=60, color=ORANGE, label=f"row 2, p = {p_values[2]:.3f}", marker="X")
left.set(xlabel="load", ylabel="current")
left.legend(frameon=False)
right.barh(COLUMNS, gain[2], color=[ORANGE if place == worst else BLUE for place in range(3)])
right.set(title="row 2, column by column", xlabel="nats gained if the column is drawn anew")
save(figure, chosen.into, __file__)
