"""The experiments that ``sluice-train`` knows by name: one small file each, with the figure it reaches."""

from trainer.preset import Preset
from trainer.presets import (
    circles_nice,
    fashion_mnist_nice_small,
    mnist_nice,
    mnist_nice_small,
    moons_nice,
    parabola_nice,
    spirals_nice,
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        mnist_nice.PRESET,
        mnist_nice_small.PRESET,
        fashion_mnist_nice_small.PRESET,
        moons_nice.PRESET,
        circles_nice.PRESET,
        spirals_nice.PRESET,
        parabola_nice.PRESET,
    )
}
