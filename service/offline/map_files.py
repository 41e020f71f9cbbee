"""Maps of where pictures are strange, written to a folder: a PNG for people and an npy for programs, each picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service.media.documents import regions_of
from service.media.heat import heat_sheet, levels_of
from service.media.maps import cropped
from service.media.npy import Array, to_npy
from service.media.pictures import to_png
from service.media.regions import Region
from service.offline.sources import ANY_PICTURES, Place
from service.offline.unusable import UnusableFile
from service.protocol.messages import Arrays


class MapFolder:
    """Writes `NAME.png` and `NAME.npy` for each picture, NAME that of its file, with `-INDEX` where it holds several.

    Where two files have one name, the later ones get `-2`, `-3` and so on. Raises UnusableFile when the folder cannot
    be made or written.
    """

    def __init__(self, folder: Path, alpha: float) -> None:
        self._folder, self._alpha = folder, alpha
        self._used: Counter[str] = Counter()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnusableFile(f"{folder}: cannot be made: {error.strerror}") from error

    def write(self, places: Sequence[Place], items: Array, scored: Arrays) -> list[list[Region]]:
        """Write the maps of items (B, *S) from their scores, which are left without the maps; the regions of each."""
        maps, every = cropped(scored, levels_of(items)), list(regions_of(scored, self._alpha))
        for array in ("rarity", "place_p_value"):
            del scored[array]
        for row, (place, rarity, found) in enumerate(zip(places, maps.rarity, maps.regions(self._alpha), strict=True)):
            name = self._name(place)
            picture = heat_sheet([maps.items[row]], [rarity], [found])
            try:
                (self._folder / f"{name}.png").write_bytes(to_png(picture))
                (self._folder / f"{name}.npy").write_bytes(to_npy(np.ascontiguousarray(rarity)))
            except OSError as error:
                raise UnusableFile(f"{self._folder}: cannot be written: {error.strerror}") from error
        return every

    def _name(self, place: Place) -> str:
        path = Path(place.file)
        name = path.stem if path.suffix.lower() in ANY_PICTURES else f"{path.stem}-{place.item}"
        self._used[name] += 1
        count = self._used[name]
        return name if count == 1 else f"{name}-{count}"
