"""Inpainting.

Hides parts of real digits and fills them in with the model `mnist-nice` that ships, by the library: the loop of
`flows.inpainting`, without a service. What was known comes back bit for bit.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

import flows
from docs.gallery._script import DIGITS, options, save, show_images
from flows import inpainting
from model_store import Store, default_root

chosen = options(__doc__)
store = Store(default_root())
model = store.load(*store.resolve("mnist-nice"))
flow = model.flow.requires_grad_(False)

with np.load(DIGITS) as file:
    digits = torch.from_numpy(file["test_images"][:8])
hidden = torch.zeros(digits.shape, dtype=torch.bool)
hidden[:4, :, 14:] = True  # the right half
hidden[4:] = torch.rand(4, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.75  # three quarters of the pixels

x, keys = flow.to_continuous(digits), flows.noise.keys(0, len(digits))
steps = 5 if chosen.short else 200
climb = inpainting.start(flow, x, hidden, keys, survey=model.survey, steps=steps)
while not climb.done.all():
    climb = inpainting.step(flow, climb)
completed = climb.result()
assert torch.equal(completed[~hidden], x[~hidden])
gained = (climb.best_log_prob - climb.start_log_prob).mean()
print(f"{steps} steps raised the log-likelihood by {gained:.0f} nats on average")

rows = [digits.numpy(), np.where(hidden, 128, digits), flow.to_items(completed).numpy()]
figure = Figure(figsize=(8, 3.3), layout="constrained")
for axes, row, title in zip(figure.subplots(3, 1), rows, ("digits", "what is known", "completions"), strict=True):
    show_images(axes, np.hstack(list(row)))
    axes.set_ylabel(title)
save(figure, chosen.into, __file__)
