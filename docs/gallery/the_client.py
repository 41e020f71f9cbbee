"""The client.

Asks a running service through `sluice_client`: draws digits, scores real ones beside noise, and follows an
inpainting. Start a service first, with `sluice serve`; `--url` names another address than that of this machine.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from sluice_client import Client

from docs.gallery._script import DIGITS, options, save, show_images

chosen = options(__doc__)
client = Client(chosen.url)
MODEL = "mnist-nice"

drawn = client.sample(10, model=MODEL, seed=7, temperature=0.7)
with np.load(DIGITS) as file:
    digits = file["test_images"][:8]
noise = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
items = np.concatenate([digits, noise])
scores = client.score(items, model=MODEL, alpha=0.01)
print(f"anomalous: {scores.anomalous.tolist()}")

mask = np.zeros((28, 28), bool)
mask[14:] = True
inpainting = client.inpaint(digits[0], mask, model=MODEL, n=8, steps=10 if chosen.short else 200, seed=1)
reached = [progress.log_likelihood for progress in inpainting]
completions = inpainting.result().array
print(f"the log-likelihood went from {reached[0]:.0f} to {reached[-1]:.0f} nats")

figure = Figure(figsize=(8, 3.6), layout="constrained")
first, second, third = figure.subplots(3, 1)
show_images(first, np.hstack(list(drawn.array)), "drawn by the model, at temperature 0.7")
show_images(second, np.hstack(list(items)), "eight test digits and two of noise, with their p-values")
for place, p_value in enumerate(scores.p_value):
    second.text(28 * place + 14, 30, f"{p_value:.2g}", ha="center", va="top", fontsize=8)
known = np.where(mask, 128, digits[0])
show_images(third, np.hstack([digits[0], known, *completions]), "a digit, what is known of it, and completions")
save(figure, chosen.into, __file__)
