"""Loading models beside the ticks: a thread of low priority that reads, checks and warms up one version at a time."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

import torch

from model_store import LoadedModel, ModelRefused, Store, StoreError, UnknownModel
from service.device.company import with_least_rows
from service.device.threads import compute_alone
from service.protocol.model_info import RefusedInfo

logger = logging.getLogger("sluice")

Entry = tuple[LoadedModel, tuple[str, ...]] | RefusedInfo | None
"""A model with its aliases, a refusal, or None when the store holds no such name."""
Done = Callable[[Entry], None]

_NICENESS = 10
"""Of the loading thread: what serves already must not wait for what does not yet."""


class Loader:
    """Loads versions in the order asked for. ``done`` and ``work`` are called in a loading thread.

    ``threads`` are the most that a tick may take.
    """

    def __init__(
        self,
        store: Store,
        device: torch.device,
        warm_up: Callable[[LoadedModel], None],
        *,
        bfloat16: bool,
        threads: int,
    ) -> None:
        self._store, self._device, self._warm_up, self._bfloat16 = store, device, warm_up, bfloat16
        self._threads = threads
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stopping = False

    def start(self) -> None:
        threading.Thread(target=self._work, name="sluice-loader", daemon=True).start()

    def stop(self) -> None:
        """Load nothing more. Does not wait for what is being loaded: the threads end with the process."""
        self._stopping = True
        self._asked.put(None)

    def load(self, name: str, done: Done) -> None:
        """Load the store's current default version of a name."""
        self._asked.put(lambda: done(self._load(name)))

    def load_all(self, names: Sequence[str], done: Callable[[str, Entry], None]) -> None:
        """Load many names, one after another: two at once slowed a score beside them by more than half."""
        for name in names:
            self.load(name, partial(done, name))

    def call(self, work: Callable[[], None]) -> None:
        """Do something else in the loading thread, after what was asked before."""
        self._asked.put(work)

    def _work(self) -> None:
        _step_back()
        while not self._stopping and (work := self._asked.get()) is not None:
            try:
                work()
            except Exception:
                if not self._stopping:  # then there is nothing to load for
                    logger.exception("loading failed")

    def _load(self, name: str) -> Entry:
        version = 0
        aliases: tuple[str, ...] = ()
        try:
            if "@" in name:  # a name alone: `name@2` is none
                return None
            _, version = self._store.resolve(name)
            aliases = tuple(alias for alias, at in self._store.aliases(name).items() if at == version)
            model = self._store.load(name, version, self._device, bfloat16=self._bfloat16)
            model = with_least_rows(model, self._threads)
            self._warm_up(model)
        except ModelRefused as error:
            version, reason = error.version or 0, error.reason
        except UnknownModel:
            return None
        except StoreError as error:
            reason = str(error)
        except Exception as error:
            # One model that breaks in an unforeseen way must not keep the others from serving.
            logger.exception("loading %s failed", name)
            reason = f"{type(error.__cause__ or error).__name__} while loading"
        else:
            logger.info("loaded %s on %s, nets in %s", model.reference, self._device, model.precision)
            return model, aliases
        logger.error("refused %s@%d: %s", name, version, reason)
        return RefusedInfo(name, version, reason, aliases)


def _step_back() -> None:
    """Let whatever serves go before the calling thread."""
    compute_alone()
    if sys.platform == "linux":
        with suppress(OSError):  # on Linux a niceness belongs to a thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
