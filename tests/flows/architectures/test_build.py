"""The allow-list: what each architecture's arguments may be, and that nothing else is built."""

from __future__ import annotations

import inspect

import pytest

import flows
from flows.architectures import ARCHITECTURES, Architecture

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())


@every_architecture
def test_declared_arguments_are_those_of_the_builder_with_the_same_defaults(architecture: Architecture) -> None:
    signature = inspect.signature(architecture.builder).parameters
    defaults = {name: parameter.default for name, parameter in signature.items() if name != "item_shape"}
    assert {name: argument.default for name, argument in architecture.arguments.items()} == defaults


@every_architecture
def test_defaults_are_allowed_values(architecture: Architecture) -> None:
    for name, argument in architecture.arguments.items():
        argument.check(name, argument.default)


def test_the_allow_list_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ARCHITECTURES["exec"] = ARCHITECTURES["nice"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "shape", "arguments", "complaint"),
    [
        ("exec", (2,), {}, "unknown architecture 'exec'"),
        ("nice", (2,), {"units": 3}, "no argument 'units'"),
        ("nice", (2,), {"couplings": 0}, "couplings"),
        ("nice", (2,), {"couplings": 10**9}, "couplings"),
        ("nice", (2,), {"couplings": True}, "couplings"),
        ("nice", (2,), {"hidden": [10, -1]}, "hidden"),
        ("nice", (2,), {"hidden": "10"}, "hidden"),
        ("nice", (2,), {"hidden": [10**9]}, "hidden"),
        ("nice", (2,), {"prior": "cauchy"}, "prior"),
        ("nice", (2,), {"activation": ["relu"]}, "activation"),
        ("nice", (2,), {"image": 1}, "image"),
        ("nice", (0,), {}, "item_shape"),
        ("nice", (), {}, "item_shape"),
        ("nice", (2,), {"couplings": 1000, "hidden": [8] * 1000}, "layers"),
        ("nice", (4, 4), {"convolutional": 1}, "convolutional"),
        ("nice", (4, 3), {"convolutional": True}, "even sides"),
        ("nice", (4,), {"convolutional": True}, "even sides"),
        ("nice", (4, 4), {"convolutional": True, "image": False}, "even sides"),
        ("realnvp", (8, 8), {"levels": 4}, "levels"),
        ("realnvp", (28, 27), {}, "levels"),
        ("realnvp", (8, 8), {"hidden": [8, 9]}, "hidden"),
        ("realnvp", (8, 8), {"alpha": 0.5}, "alpha"),
        ("realnvp", (8, 8), {"alpha": float("nan")}, "alpha"),
        ("realnvp", (8, 8), {"alpha": True}, "alpha"),
        ("glow", (28, 28), {"levels": 3}, "levels"),
        ("glow", (8, 8), {"steps": 10**9}, "steps"),
        ("spline", (2,), {"bins": 100}, "bins"),
    ],
)
def test_unknown_architectures_and_bad_arguments_are_refused(
    name: str, shape: tuple[int, ...], arguments: dict[str, object], complaint: str
) -> None:
    with pytest.raises(flows.ArchitectureError, match=complaint):
        flows.build(name, shape, arguments)
