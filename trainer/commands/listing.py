"""What ``sluice-train --list`` says of presets."""

from __future__ import annotations

from collections.abc import Iterable

from trainer.presets import Preset


def entry(preset: Preset) -> dict[str, str | int]:
    """What the list says of a preset."""
    return {
        "preset": preset.name,
        "data": preset.data.title,
        "architecture": preset.architecture,
        "epochs": preset.epochs,
        "published as": preset.model,
    }


def table(presets: Iterable[Preset]) -> str:
    """The presets, a line each, however narrow the terminal: no name is cut."""
    entries = [entry(preset) for preset in presets]
    rows = [list(entries[0]), *([str(value) for value in entry.values()] for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
