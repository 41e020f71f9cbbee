"""What a p-value promises: a simulation.

Two flows judge points of two moons: one that was trained for a while, and one that was not trained at all. Both are
calibrated on held-out points, again and again on fresh ones. Whatever the flow, ordinary points alarm at the rate
alpha: that is the promise. How many strange points are found is another matter, and there the flow decides.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

import flows
from docs.gallery._script import BLUE, GREY, ORANGE, options, save
from flows import anomaly
from trainer.data.toys import moons

chosen = options(__doc__)
torch.manual_seed(0)
ALPHA, HELD_OUT, FITTED, TESTED = 0.05, 200, 100, 500
rounds, steps = (2, 5) if chosen.short else (200, 1500)
random = np.random.default_rng(0)


def ordinary(n: int) -> torch.Tensor:
    return torch.from_numpy(moons(random, n)).float()


def strange(n: int) -> torch.Tensor:
    """Points between and around the moons."""
    return torch.from_numpy(random.uniform([-1.5, -1.0], [2.5, 1.5], (n, 2))).float()


def a_flow(steps: int) -> flows.Flow:
    flow = flows.realnvp((2,), couplings=6, hidden=[32, 32], image=False)
    with torch.no_grad():
        flow.transforms.initialise(ordinary(1000))
    optimiser = torch.optim.Adam(flow.parameters(), lr=2e-3)
    for _ in range(steps):
        loss = -flow.log_prob(ordinary(300)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return flow.requires_grad_(False)


def rates(flow: flows.Flow) -> tuple[np.ndarray, np.ndarray]:
    """Shares of ordinary and of strange points with a p-value of at most ALPHA, by round."""
    found = []
    for _ in range(rounds):
        measured = [anomaly.statistics(flow, x) for x in (ordinary(FITTED), ordinary(HELD_OUT))]
        calibration = anomaly.Calibration.of(anomaly.tests_of(flow), *measured)
        found.append(
            [
                (calibration.judge(anomaly.statistics(flow, x)).p_value <= ALPHA).double().mean().item()
                for x in (ordinary(TESTED), strange(TESTED))
            ]
        )
    alarms, detections = np.array(found).T
    return alarms, detections


figure = Figure(figsize=(9, 3), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True)
for name, trained, colour in (("trained", steps, BLUE), ("not trained", 0, ORANGE)):
    alarms, detections = rates(a_flow(trained))
    print(f"{name}: {alarms.mean():.4f} of ordinary points alarm, {detections.mean():.3f} of strange points are found")
    bins = np.linspace(0, 0.15, 31)
    left.hist(alarms, bins, color=colour, alpha=0.6, label=f"{name}: {alarms.mean():.3f} on average")
    right.hist(detections, np.linspace(0, 1, 51), color=colour, alpha=0.6, label=f"{name}: {detections.mean():.2f}")
left.axvline(ALPHA, color=GREY, linestyle="--")
left.set(title=f"ordinary points: alarms at alpha = {ALPHA}", xlabel="share of alarms", ylabel="rounds")
right.set(title="strange points: found", xlabel="share found")
for axes in (left, right):
    axes.legend(frameon=False)
save(figure, chosen.into, __file__)
