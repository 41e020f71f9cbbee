"""Maps of where pictures are strange, written to a folder: a PNG for people and an npy for programs, each picture."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np

from service.media.documents import regions_of
from service.media.heat import heat_sheet, levels_of
from service.media.maps import cropped
from service.media.npy import Array, to_npy
from service.media.pictures import to_png
from service.media.regions import Region
from service.offline import array_files
from service.offline.overwriting import identity
from service.offline.printable import printable
from service.offline.sources import ANY_PICTURES, Place, files_of
from service.offline.unusable import UnusableFile, writable
from service.protocol.messages import Arrays


class MapFolder:
    """Writes `NAME.png` and `NAME.npy` for each picture, NAME that of its file, with `-INDEX` where it holds several.

    Where a name is taken, the later picture gets `-2`, `-3` and so on, the first that is free. Raises UnusableFile when
    the folder cannot be made or written.
    """

    def __init__(self, folder: Path, alpha: float) -> None:
        self._folder, self._alpha = folder, alpha
        self._used: set[str] = set()
        self._next: dict[str, count[int]] = {}
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
            with writable(self._folder):
                (self._folder / f"{name}.png").write_bytes(to_png(picture))
                (self._folder / f"{name}.npy").write_bytes(to_npy(np.ascontiguousarray(rarity)))
        return every

    def _name(self, place: Place) -> str:
        path = Path(place.file)
        name = path.stem if path.suffix.lower() in ANY_PICTURES else f"{path.stem}-{place.item}"
        free = name
        while free in self._used:
            free = f"{name}-{next(self._next.setdefault(name, count(2)))}"
        self._used.add(free)
        return free


def refuse_maps_among_inputs(folder: Path, given: Sequence[Path]) -> None:
    """Raises UnusableFile where maps in a folder could replace a file that is scored, or be scored by a later run."""
    whole = folder.resolve()
    for path in given:
        if path.is_dir() and whole.is_relative_to(path.resolve()):
            raise UnusableFile(
                f"--maps: {folder} is or lies in {path}, whose files are scored: maps would replace them or be "
                "scored next time; name another folder, outside it"
            )
    present = [path for ending in ("png", "npy") for path in sorted(folder.glob(f"*.{ending}"))]
    if not present:
        return
    files: list[Path] = []
    for path in given:
        with suppress(UnusableFile):  # which is told when the file is to be read
            files += files_of(path, (*ANY_PICTURES, *array_files.SUFFIXES))
    known = {identity(file) for file in files} - {None}  # so that links to a file are known too
    scored = [path for path in present if identity(path) in known]
    stems = {printable(file.stem) for file in files}
    pictures = {printable(file.stem) for file in files if file.suffix.lower() in ANY_PICTURES}
    archives = any(file.suffix.lower() == ".npz" for file in files)  # whose members have names of their own
    for target in scored:
        beginnings = {target.stem[:place] for place, letter in enumerate(target.stem) if letter == "-"}
        if archives or target.stem in pictures or beginnings & stems:
            raise UnusableFile(f"--maps: a map could replace {target}, which is scored; name another folder")
