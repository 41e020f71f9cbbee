"""The experiments that ``sluice-train`` knows by name: one small file each, with the figure it reaches.

A file in this folder is known by being here: it defines ``PRESET``.
"""

from importlib import import_module
from pkgutil import iter_modules

from trainer.preset import Preset

_FOUND: list[Preset] = [import_module(f"{__name__}.{module.name}").PRESET for module in iter_modules(__path__)]

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _FOUND}
