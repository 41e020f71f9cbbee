"""The examples in docstrings are correct, and every public class has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest
import torch

import flows
from flows import anomaly, inpainting

MODULES = sorted(module.name for module in pkgutil.walk_packages(flows.__path__, "flows."))
PUBLIC = {
    f"{package.__name__}.{name}": getattr(package, name)
    for package in (flows, inpainting, anomaly)
    for name in package.__all__
}
CLASSES = {name: each for name, each in PUBLIC.items() if inspect.isclass(each)}


@pytest.mark.parametrize("name", ["flows", *MODULES])
def test_examples_give_what_they_show(name: str) -> None:
    module = importlib.import_module(name)
    names = {"flows": flows, "noise": flows.noise, "torch": torch}
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, globs=names):
        result = doctest.DocTestRunner().run(example)
        assert result.failed == 0, example.name


@pytest.mark.parametrize("public", CLASSES.values(), ids=CLASSES.keys())
def test_every_public_class_has_an_example(public: type) -> None:
    assert ">>>" in (public.__dict__["__doc__"] or "")
