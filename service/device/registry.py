"""The models that a device serves, those that were refused, and those that are still to be loaded."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import NamedTuple

from model_store import LoadedModel
from service.device.descriptions import info_of
from service.protocol.errors import Unavailable, Unknown
from service.protocol.messages import Models
from service.protocol.model_info import ModelInfo, RefusedInfo


class Served(NamedTuple):
    """A model and what the api processes know of it."""

    model: LoadedModel
    info: ModelInfo


@dataclass(frozen=True)
class Slot:
    """What a name stands for: the version that serves, the one that was refused after it, or either."""

    served: Served | None
    refused: RefusedInfo | None


class Registry:
    """One version of every name, by reference. Belongs to the device's loop.

    A version that was replaced or unloaded can still be asked for during ``grace`` seconds: requests that were under
    way when it left finish on it.
    """

    def __init__(self, default: str | None, grace: float) -> None:
        self._default, self._grace = default, grace
        self._slots: dict[str, Slot] = {}
        self._served: dict[str, Served] = {}
        self._retired: OrderedDict[str, tuple[float, Served]] = OrderedDict()
        self.waiting: tuple[str, ...] = ()
        """Names that are still to be loaded."""
        self.starting = True
        """Whether the first round of loading is not over."""
        self.store_default: str | None = None

    @property
    def default(self) -> str | None:
        """The reference that a request without a model means."""
        return self._default or self.store_default

    def serve(self, model: LoadedModel, aliases: tuple[str, ...]) -> None:
        """Put a version in the place of the one that served its name."""
        self._retire(model.name)
        served = Served(model, info_of(model, aliases))
        self._slots[model.name] = Slot(served, None)
        self._served[model.reference] = served

    def refuse(self, refusal: RefusedInfo) -> None:
        """Note a version that failed its checks; what served its name before goes on serving."""
        old = self._slots.get(refusal.name)
        self._slots[refusal.name] = replace(old, refused=refusal) if old else Slot(None, refusal)

    def unload(self, name: str) -> None:
        """Serve a name no longer. Raises Unknown when it is not served."""
        if name not in self._slots:
            raise Unknown("no such model is loaded", "name")
        self._retire(name)
        del self._slots[name]

    def get(self, reference: str) -> Served:
        """The model behind `name@version`. Raises Unavailable when it has left meanwhile."""
        served = self._served.get(reference)
        if served is not None:
            return served
        self.forget_retired()
        if reference in self._retired:
            return self._retired[reference][1]
        raise Unavailable(f"{reference} is no longer served", "model")

    @property
    def models(self) -> list[LoadedModel]:
        return [slot.served.model for _, slot in sorted(self._slots.items()) if slot.served]

    @property
    def refused(self) -> list[RefusedInfo]:
        return [slot.refused for _, slot in sorted(self._slots.items()) if slot.refused]

    def told(self) -> Models:
        """All of it, as the api processes are told."""
        infos = tuple(slot.served.info for _, slot in sorted(self._slots.items()) if slot.served)
        default = self.default if self._slots or self.waiting else None
        return Models(infos, tuple(self.refused), self.waiting, default, self.starting)

    def _retire(self, name: str) -> None:
        old = self._slots.get(name)
        if old is not None and old.served is not None:
            reference = old.served.model.reference
            self._served.pop(reference, None)
            self._retired[reference] = time.monotonic() + self._grace, old.served
        self.forget_retired()

    def forget_retired(self) -> None:
        """Let go of what was replaced or unloaded, once its grace is over."""
        now = time.monotonic()
        while self._retired and next(iter(self._retired.values()))[0] < now:
            self._retired.popitem(last=False)
