"""One catalogue of the models of several devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from service.protocol.model_info import Catalogue, ModelInfo, RefusedInfo


def together(catalogues: Sequence[Catalogue]) -> Catalogue:
    """The models that at least one device serves, one version of each name.

    While a new version is being loaded the devices differ: the version that most of them serve is chosen, the newer of
    two that as many serve. A device that is still starting has no say once another has finished: a name that was
    unloaded does not come back because one device was started again.
    """
    if len(catalogues) == 1:
        return catalogues[0]
    settled = [each for each in catalogues if not each.starting] or list(catalogues)
    served = Counter(model.reference for each in settled for model in each.models)
    chosen: dict[str, ModelInfo] = {}
    refused: dict[tuple[str, int], RefusedInfo] = {}
    for each in settled:
        for model in each.models:
            best = chosen.setdefault(model.name, model)
            if (served[model.reference], model.version) > (served[best.reference], best.version):
                chosen[model.name] = model
        for refusal in each.refused:
            refused.setdefault((refusal.name, refusal.version), refusal)
    return Catalogue(
        models=tuple(chosen[name] for name in sorted(chosen)),
        refused=tuple(refused[key] for key in sorted(refused)),
        waiting=tuple(dict.fromkeys(name for each in settled for name in each.waiting if name not in chosen)),
        default=next((each.default for each in settled if each.default is not None), None),
        starting=all(each.starting for each in settled),
    )
