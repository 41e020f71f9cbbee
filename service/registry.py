"""The models that are served, and those that were refused, with the reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from model_store import LoadedModel, ModelRefused, Store, UnknownModel
from service.errors import Unavailable, Unknown

logger = logging.getLogger("sluice")


@dataclass(frozen=True)
class Refused:
    """A version that failed a check when it was loaded."""

    name: str
    version: int
    reason: str


class Registry:
    """The default version of every name in a store, loaded onto one device.

    ``references`` maps everything that a request may call a model (`name`, `name@version`, `name@alias`) to it. The
    table is replaced as a whole, so that a request sees the old one or the new one.
    """

    def __init__(self, store: Store, device: torch.device, default: str | None = None) -> None:
        self.store, self.device = store, device
        self._default = default
        self._references: Mapping[str, LoadedModel | Refused] = {}
        self.default: str | None = None
        self.loading = True

    def load(self) -> None:
        """Load each name's default version. A refused one is noted and the others serve."""
        references: dict[str, LoadedModel | Refused] = {}
        for name in self.store.names():
            _, version = self.store.resolve(name)
            entry = self._load(name, version)
            references[name] = references[f"{name}@{version}"] = entry
            aliases = self.store.aliases(name)
            references.update({f"{name}@{alias}": entry for alias, at in aliases.items() if at == version})
        self._references = references
        if references:
            self.default = self._default or self.store.default_name()
        self.loading = False

    def _load(self, name: str, version: int) -> LoadedModel | Refused:
        try:
            model = self.store.load(name, version, self.device)
        except (ModelRefused, UnknownModel) as error:
            reason = error.reason if isinstance(error, ModelRefused) else str(error)
        except Exception as error:
            # One model that breaks in an unforeseen way must not keep the others from serving.
            logger.exception("loading %s@%d failed", name, version)
            reason = f"{type(error).__name__} while loading"
        else:
            model.flow.eval().requires_grad_(False)
            logger.info("loaded %s on %s", model.reference, self.device)
            return model
        logger.error("refused %s@%d: %s", name, version, reason)
        return Refused(name, version, reason)

    def get(self, reference: str | None) -> LoadedModel:
        """The model that a request means. Raises Unknown, or Unavailable when it is known and not served."""
        if self.loading:
            raise Unavailable("the models are still being loaded")
        if reference is None and self.default is None:
            raise Unavailable("the store holds no model")
        found = self._references.get(reference or str(self.default))
        if found is None and reference is None:
            raise Unavailable(f"the default model {self.default!r} is not in the store")
        if found is None:
            raise Unknown("there is no such model, or this version is not loaded", "model")
        if isinstance(found, Refused):
            raise Unavailable(f"{found.name}@{found.version} is refused: {found.reason}", "model")
        return found

    @property
    def models(self) -> list[LoadedModel]:
        return list({id(m): m for m in self._references.values() if isinstance(m, LoadedModel)}.values())

    @property
    def refused(self) -> list[Refused]:
        return list({id(r): r for r in self._references.values() if isinstance(r, Refused)}.values())

    def unready(self) -> str | None:
        """Why no model can be served, or None when one can."""
        if self.loading:
            return "the models are still being loaded"
        if self.models:
            return None
        if not self.refused:
            return "the store holds no model"
        return "every model is refused: " + "; ".join(f"{r.name}@{r.version}: {r.reason}" for r in self.refused)
