"""In which form a command writes items: as asked, as the output's name ends, or as suits the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from service.media.types import CSV, GIF, JSON, NPY, PNG, WEBP

if TYPE_CHECKING:
    from service.protocol.model_info import ModelInfo

FORMS = {"png": PNG, "npy": NPY, "csv": CSV, "json": JSON, "webp": WEBP, "gif": GIF}
"""Names of forms, which are endings of files too, with their media types."""


class Wanted(NamedTuple):
    """Where a command writes items, and the form that was asked for, if any."""

    output: Path | None
    name: str | None

    def form_of(self, model: ModelInfo, forms: Sequence[str]) -> str:
        """The media type, one of a model's ``forms``, in which to write; the first but JSON where nothing tells.

        Raises UsageError for a form that the model's items do not have, and for an output that ends like none.
        """
        ending = self.output.suffix.lower().removeprefix(".") if self.output is not None else ""
        name = self.name or ending
        if not name:
            return next(form for form in forms if form != JSON)
        known = [each for each, form in FORMS.items() if form in forms]
        if name in known:
            return FORMS[name]
        *others, last = known if self.name else [f".{each}" for each in known]
        what = (
            f"{model.reference} cannot be written as {name}" if name in FORMS else f"{self.output}: .{name} is no form"
        )
        raise click.UsageError(f"{what}: use {'--format ' if self.name else ''}{', '.join(others)} or {last}")
