"""Real NVP on two moons.

Trains a small Real NVP (Dinh, Sohl-Dickstein & Bengio 2017) on points of the plane, and draws data, density and samples
side by side. The density is exact: summed over the grid that is drawn, it gives nearly 1.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

import flows
from docs.gallery._script import options, save
from trainer.data.toys import moons

chosen = options(__doc__)
torch.manual_seed(0)
data = torch.from_numpy(moons(np.random.default_rng(0), 20_000)).float()
steps = 8 if chosen.short else 3000

flow = flows.realnvp((2,), couplings=8, hidden=[64, 64], image=False)
with torch.no_grad():
    flow.transforms.initialise(data[:1000])
optimiser = torch.optim.Adam(flow.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
for _ in range(steps):
    loss = -flow.log_prob(data[torch.randint(len(data), (500,))]).mean()
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
    optimiser.step()
    schedule.step()

across, down = torch.linspace(-1.8, 2.8, 230), torch.linspace(-1.3, 1.8, 155)
grid = torch.cartesian_prod(across, down)
with torch.no_grad():
    density = flow.log_prob(grid).exp().reshape(len(across), len(down)).T
    drawn = flow.sample(4000, torch.Generator().manual_seed(7))
    held_out = flow.log_prob(torch.from_numpy(moons(np.random.default_rng(1), 5000)).float()).mean()
mass = density.sum() * (across[1] - across[0]) * (down[1] - down[0])
print(f"held-out points: {held_out:.3f} nats; the density sums to {mass:.3f} over the plane that is drawn")

figure = Figure(figsize=(10, 2.9), layout="constrained")
panels = figure.subplots(1, 3, sharex=True, sharey=True)
extent = (across[0].item(), across[-1].item(), down[0].item(), down[-1].item())
for axes, title in zip(panels, ("data", "density", "samples"), strict=True):
    axes.set(title=title, aspect="equal", xlim=extent[:2], ylim=extent[2:])
panels[0].scatter(*data[:4000].T, s=1, alpha=0.3, color="black")
panels[1].imshow(density, origin="lower", extent=extent, cmap="viridis")
panels[2].scatter(*drawn.T, s=1, alpha=0.3, color="black")
save(figure, chosen.into, __file__)
