"""Inpainting: fill what a mask hides by climbing, or by sampling, the flow's own density.

    climb = start(flow, x, hidden, keys, steps=200)
    while not climb.done.all():
        climb = step(flow, climb)
    completed = climb.result()

Between two steps rows may leave (``climb.select``) and others join (``Climb.cat``).
"""

from flows.inpainting.climb import Climb
from flows.inpainting.climbing import METHODS, start, step
from flows.inpainting.method import Method
from flows.inpainting.survey import acquaint, draws

__all__ = ["METHODS", "Climb", "Method", "acquaint", "draws", "start", "step"]
