"""The models that are served, and those that were refused, with the reason."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from model_store import LoadedModel, ModelRefused, Store, UnknownModel
from service.errors import Unavailable, Unknown, WrongValue
from service.metrics import Metrics
from service.threads import compute_alone

logger = logging.getLogger("sluice")


@dataclass(frozen=True)
class Refused:
    """A version that failed a check when it was loaded."""

    name: str
    version: int
    reason: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version} is refused: {self.reason}"


@dataclass(frozen=True)
class Slot:
    """What a name stands for: the version that serves, the one that was refused after it, or either."""

    model: LoadedModel | None
    refused: Refused | None
    aliases: tuple[str, ...]
    """Those that pointed at the version when it was loaded; they stay with it while a newer one is refused."""

    def references(self) -> Iterator[tuple[str, LoadedModel | Refused]]:
        if self.refused is not None:
            yield f"{self.refused.name}@{self.refused.version}", self.refused
        entry = self.model or self.refused
        if entry is not None:
            yield from ((text, entry) for text in (entry.name, f"{entry.name}@{entry.version}"))
            yield from ((f"{entry.name}@{alias}", entry) for alias in self.aliases)


class Registry:
    """One version of every name in a store, its default when it was loaded, on one device.

    A version serves once it has passed every check and ``warm_up``. Versions are loaded one at a time, by any thread.
    ``references`` maps everything that a request may call a model (`name`, `name@version`, `name@alias`) to it. The
    table is replaced as a whole, so that a request sees the old one or the new one; the jobs of a version that is
    replaced hold on to it until they end.
    """

    def __init__(
        self,
        store: Store,
        device: torch.device,
        metrics: Metrics,
        warm_up: Callable[[LoadedModel], None],
        default: str | None = None,
        *,
        bfloat16: bool = False,
    ) -> None:
        self.store, self.device, self._bfloat16 = store, device, bfloat16
        self._metrics, self._warm_up, self._default = metrics, warm_up, default
        self._one_at_a_time = threading.Lock()
        self._slots: Mapping[str, Slot] = {}
        self._references: Mapping[str, LoadedModel | Refused] = {}
        self.default: str | None = None
        self.loading = True

    def load_all(self) -> None:
        """Load each name's default version. A refused one is noted and the others serve."""
        with self._one_at_a_time:
            for name in self.store.names():
                self._load_default(name)
            self.loading = False

    def load(self, name: str) -> LoadedModel:
        """Put the name's current default version in the place of the one that serves.

        Raises Unknown, or WrongValue when the version is refused; what served before goes on serving then.
        """
        with self._one_at_a_time:
            try:
                entry = self._load_default(name)
            except UnknownModel as error:
                raise Unknown("the store holds no such model", "name") from error
        if isinstance(entry, Refused):
            raise WrongValue(str(entry), "name")
        return entry

    def unload(self, name: str) -> None:
        """Serve the name no longer. Raises Unknown when it is not served."""
        with self._one_at_a_time:
            if name not in self._slots:
                raise Unknown("no such model is loaded", "name")
            self._show({other: slot for other, slot in self._slots.items() if other != name})
        logger.info("unloaded %s", name)

    def _load_default(self, name: str) -> LoadedModel | Refused:
        if not self.store.versions(name):  # of a name alone: `name@2` is none
            raise UnknownModel(f"there is no model {name!r}")
        _, version = self.store.resolve(name)
        aliases = tuple(alias for alias, at in self.store.aliases(name).items() if at == version)
        entry = self._checked(name, version)
        if isinstance(entry, LoadedModel):
            slot = Slot(entry, None, aliases)
        else:
            self._metrics.load_failures.inc()
            old = self._slots.get(name)
            slot = replace(old, refused=entry) if old and old.model else Slot(None, entry, aliases)
        self._show({**self._slots, name: slot})
        return entry

    def _checked(self, name: str, version: int) -> LoadedModel | Refused:
        compute_alone()
        try:
            model = self.store.load(name, version, self.device, bfloat16=self._bfloat16)
            self._warm_up(model)
        except (ModelRefused, UnknownModel) as error:
            reason = error.reason if isinstance(error, ModelRefused) else str(error)
        except Exception as error:
            # One model that breaks in an unforeseen way must not keep the others from serving.
            logger.exception("loading %s@%d failed", name, version)
            reason = f"{type(error).__name__} while loading"
        else:
            logger.info("loaded %s on %s, nets in %s", model.reference, self.device, model.precision)
            return model
        logger.error("refused %s@%d: %s", name, version, reason)
        return Refused(name, version, reason)

    def _show(self, slots: Mapping[str, Slot]) -> None:
        self._slots = slots
        self._references = dict(reference for slot in slots.values() for reference in slot.references())
        if slots:
            self.default = self._default or self.store.default_name()

    def get(self, reference: str | None) -> LoadedModel:
        """The model that a request means. Raises Unknown, or Unavailable when it is known and not served."""
        if self.loading:
            raise Unavailable("the models are still being loaded")
        if reference is None and self.default is None:
            raise Unavailable("no model is loaded")
        found = self._references.get(reference or str(self.default))
        if found is None and reference is None:
            raise Unavailable(f"the default model {self.default!r} is not loaded")
        if found is None:
            raise Unknown("there is no such model, or this version is not loaded", "model")
        if isinstance(found, Refused):
            raise Unavailable(str(found), "model")
        return found

    @property
    def models(self) -> list[LoadedModel]:
        return [slot.model for _, slot in sorted(self._slots.items()) if slot.model]

    @property
    def refused(self) -> list[Refused]:
        return [slot.refused for _, slot in sorted(self._slots.items()) if slot.refused]

    def unready(self) -> str | None:
        """Why no model can be served, or None when one can."""
        if self.loading:
            return "the models are still being loaded"
        if self.models:
            return None
        if not self.refused:
            return "no model is loaded"
        return "every model is refused: " + "; ".join(map(str, self.refused))
