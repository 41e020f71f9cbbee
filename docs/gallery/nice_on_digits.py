"""NICE on digits.

Trains the flow of the NICE paper (Dinh, Krueger & Bengio 2014) in a plain loop of PyTorch, smaller than the paper's,
and draws digits from it. With `--data-dir` it learns from the 60,000 digits of MNIST, without from 1,000 of them.

`sluice-train mnist-nice` does the same with a schedule, validation, calibration and a model card.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

import flows
from docs.gallery._script import BLUE, DIGITS, options, save, show_images
from trainer.data import MNIST

chosen = options(__doc__)
torch.manual_seed(0)

if chosen.data_dir:
    train, test = MNIST.read(chosen.data_dir)
else:
    with np.load(DIGITS) as file:
        train, test = torch.from_numpy(file["train_images"]), torch.from_numpy(file["test_images"])
steps, width = (5, 64) if chosen.short else (1500, 400)

flow = flows.nice((28, 28), couplings=4, hidden=[width, width])
with torch.no_grad():  # scales and means that fit the data: NICE then trains in minutes
    flow.transforms.initialise(flow.to_continuous(train[:1000]))
optimiser = torch.optim.Adam(flow.parameters(), lr=1e-3, betas=(0.9, 0.99))
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)

curve = []
for _ in range(steps):
    levels = train[torch.randint(len(train), (200,))]
    x = (levels + torch.rand(levels.shape)) / 256  # dequantisation, with fresh noise in every step
    loss = -flow.log_prob(x).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()
    curve.append(-loss.item())

with torch.no_grad():
    held_out = flow.log_prob(flow.to_continuous(test[:1000])).mean()
    drawn = flow.to_items(flow.sample(40, torch.Generator().manual_seed(7), temperature=0.7)).numpy()
bits = flows.bits_per_dim(held_out, flow.dimensions)
print(f"held-out digits: {held_out:.1f} nats, {bits:.3f} bits per dimension")

figure = Figure(figsize=(9, 3.4), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=[1, 2])
left.plot(curve, color=BLUE, linewidth=0.8)
left.set(xlabel="step", ylabel="nats per digit", title=f"held out: {held_out:.0f} nats", ylim=(min(curve[-1], 0), None))
sheet = drawn.reshape(5, 8, 28, 28).swapaxes(1, 2).reshape(5 * 28, 8 * 28)
show_images(right, sheet, "drawn at temperature 0.7")
save(figure, chosen.into, __file__)
