"""One catalogue of several devices."""

from __future__ import annotations

import pytest

from service.protocol.catalogues import together
from service.protocol.errors import Unknown
from service.protocol.model_info import Catalogue, RefusedInfo
from tests.service.protocol.samples import model_info


def catalogue(*versions: int, starting: bool = False, waiting: tuple[str, ...] = (), name: str = "digits") -> Catalogue:
    return Catalogue(tuple(model_info(name, version) for version in versions), (), waiting, name, starting)


def served(found: Catalogue) -> list[str]:
    return [model.reference for model in found.models]


def test_the_catalogue_of_one_device_stays_as_it_is() -> None:
    one = catalogue(1)
    assert together([one]) is one


def test_names_that_any_device_serves_can_be_asked_for() -> None:
    found = together([catalogue(1), catalogue(4, name="points")])
    assert served(found) == ["digits@1", "points@4"]
    assert found.get(None).reference == "digits@1"
    assert found.get("points").reference == "points@4"


def test_the_version_that_most_devices_serve_is_chosen_and_the_newer_of_two_that_as_many_serve() -> None:
    assert served(together([catalogue(2), catalogue(1), catalogue(1)])) == ["digits@1"]
    assert (
        served(together([catalogue(1), catalogue(2)])) == served(together([catalogue(2), catalogue(1)])) == ["digits@2"]
    )


def test_a_device_that_is_still_starting_has_no_say_beside_one_that_has_finished() -> None:
    settled, starting = catalogue(1), catalogue(7, starting=True, waiting=("points",), name="unloaded")
    found = together([starting, settled])
    assert served(found) == ["digits@1"]
    assert (found.waiting, found.starting, found.default) == ((), False, "digits")
    with pytest.raises(Unknown):
        found.get("points")


def test_while_all_start_a_name_waits_until_one_device_serves_it() -> None:
    first = catalogue(1, starting=True, waiting=("points",))
    second = catalogue(starting=True, waiting=("digits", "points"))
    found = together([first, second])
    assert (served(found), found.waiting, found.starting) == (["digits@1"], ("points",), True)
    assert found.unready() is None, "the default model can be asked for"


def test_what_is_refused_everywhere_is_told_once() -> None:
    refusal = RefusedInfo("digits", 2, "damaged")
    each = [Catalogue((model_info(),), (refusal,), (), "digits", False) for _ in range(2)]
    found = together(each)
    assert found.refused == (refusal,)
    assert found.get("digits").version == 1
