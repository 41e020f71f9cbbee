"""Anomaly maps.

Draws a scratch over real digits and asks the model that ships where they are strange. The map shows rarity: 2 is a
place as one in a hundred of held-out digits. A region consists of connected places rarer than the strangest place of
all but a share alpha of held-out digits. See docs/maps.md for what that promises.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from docs.gallery._script import DIGITS, ORANGE, options, save, show_images
from flows import anomaly
from model_store import Store, default_root
from service.media.regions import regions

chosen = options(__doc__)
store = Store(default_root())
model = store.load(*store.resolve("mnist-nice" if chosen.short else "mnist"))
assert model.map is not None

with np.load(DIGITS) as file:
    digits = torch.from_numpy(file["test_images"][:5])
for column in range(5, 23):
    digits[1:4, 30 - column - 3, column] = 255  # a thin stroke across three of the five

with torch.no_grad():
    found = model.map.judge(anomaly.pixel_nats(model.flow, model.flow.to_continuous(digits)))
boxes = [
    regions(rarity, p_value, alpha=0.05)
    for rarity, p_value in zip(found.rarity.float().numpy(), found.p_value.numpy(), strict=True)
]
for place, each in enumerate(boxes):
    print(f"digit {place}: {len(each)} regions" + "".join(f", p = {region.p_value:.4f}" for region in each[:1]))

figure = Figure(figsize=(8, 3.5), layout="constrained")
for axes, digit, rarity, each in zip(
    figure.subplots(2, 5).T, digits.numpy(), found.rarity.float().numpy(), boxes, strict=True
):
    show_images(axes[0], digit)
    shown = axes[1].imshow(rarity, cmap="magma", vmin=0, vmax=6)
    axes[1].set(xticks=[], yticks=[])
    for region in each:
        top, left, bottom, right = region.box
        frame = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, color=ORANGE, linewidth=1.5)
        axes[0].add_patch(frame)
figure.colorbar(shown, ax=figure.axes, shrink=0.7, label="rarity")
save(figure, chosen.into, __file__)
