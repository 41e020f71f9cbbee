"""All devices of a service serve the same models, also after one of them was started again."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from service.protocol.client import DeviceClient
from service.protocol.messages import Load, Unload
from service.protocol.model_info import Catalogue

logger = logging.getLogger("sluice")


async def agree(newcomer: DeviceClient, others: Sequence[DeviceClient]) -> None:
    """Have a device that has just loaded the store and the other devices serve the same models.

    The newcomer unloads the names that no other device knows: they were unloaded before it was started again. The
    others load the names that the newcomer serves in another version or under other aliases: the store has changed
    since they looked. Raises the Problem of a device that cannot.
    """
    if not others:
        return
    known = set[str]().union(*(_names(other.catalogue) for other in others))
    for model in newcomer.catalogue.models:
        name = model.name
        if name not in known:
            logger.info("%s unloads %s, which the other devices do not serve", newcomer.name, name)
            await newcomer.ask(lambda number, name=name: Unload(number, name))  # type: ignore[misc]
            continue
        for other in others:
            theirs = next((each for each in other.catalogue.models if each.name == name), None)
            if theirs is None or (theirs.version, theirs.aliases) != (model.version, model.aliases):
                logger.info("%s loads %s, which %s serves", other.name, model.reference, newcomer.name)
                await other.ask(lambda number, name=name: Load(number, name))  # type: ignore[misc]


def _names(catalogue: Catalogue) -> set[str]:
    return {model.name for model in catalogue.models} | {refusal.name for refusal in catalogue.refused}
