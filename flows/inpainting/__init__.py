"""Inpainting: fill in the hidden entries of items by ascending, or sampling from, the flow's own density.

    survey = inpainting.survey(flow)
    climb = inpainting.start(flow, x, hidden, keys, survey=survey, steps=200)
    while not climb.done.all():
        climb = inpainting.step(flow, climb)
    completed = climb.result()

Between two steps, rows may leave the batch (``climb.select``) and others may join it (``Climb.cat``).
"""

from flows.inpainting.climb import Climb
from flows.inpainting.method import Method
from flows.inpainting.sharp_modes import SharpModes
from flows.inpainting.stepping import METHODS, start, step
from flows.inpainting.surveys import Survey, draws, survey, survey_for, survey_of

__all__ = [
    "METHODS",
    "Climb",
    "Method",
    "SharpModes",
    "Survey",
    "draws",
    "start",
    "step",
    "survey",
    "survey_for",
    "survey_of",
]
