"""References, aliases, the default model, and the models that ship."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store import Published, Store, StoreError, UnknownModel, default_root, reference

Publish = Callable[..., Published]


def test_references_name_a_version_an_alias_or_the_default(publish_digits: Publish, store: Store) -> None:
    publish_digits()
    publish_digits()
    publish_digits(name="other")
    store.set_alias("digits", "stable", 1)
    assert store.names() == ["digits", "other"]
    assert store.resolve("digits") == ("digits", 2)
    assert store.resolve("digits@1") == store.resolve("digits@stable") == ("digits", 1)
    assert store.resolve() == ("digits", 2), "without a choice the first by name"
    (store.root / "store.json").write_text(json.dumps({"default": "other"}))
    assert store.resolve() == ("other", 1)


@pytest.mark.parametrize(
    "text", ["unknown", "digits@9", "digits@canary", "", "../digits", "digits@", "digits@0", "a@b@"]
)
def test_unknown_references_raise_unknown_model(publish_digits: Publish, store: Store, text: str) -> None:
    publish_digits()
    with pytest.raises(UnknownModel):
        store.resolve(text)


@given(st.text(max_size=200))
def test_a_parsed_reference_is_never_a_path(text: str) -> None:
    try:
        parsed = reference.parse(text)
    except UnknownModel:
        return
    assert not set("/\\\0") & set(parsed.name)
    assert not parsed.name.startswith(".")


def test_an_empty_or_absent_store_has_no_models(store: Store) -> None:
    assert store.names() == []
    with pytest.raises(UnknownModel, match="no model"):
        store.resolve()


@pytest.mark.parametrize("content", ["", "[]", '{"default": "1"}', '{"default": true}', '{"../x": 1}', "\0"])
def test_a_damaged_alias_file_counts_as_no_alias(publish_digits: Publish, store: Store, content: str) -> None:
    publish_digits()
    (store.root / "digits" / "aliases.json").write_text(content)
    assert store.aliases("digits") == {}
    assert store.resolve("digits") == ("digits", 1)


def test_an_alias_must_be_a_word_and_point_at_a_version(publish_digits: Publish, store: Store) -> None:
    publish_digits()
    for alias, version in [("2", 1), ("../up", 1), ("Caps", 1), ("fine", 2)]:
        with pytest.raises(UnknownModel):
            store.set_alias("digits", alias, version)
    assert store.aliases("digits") == {"default": 1}


def test_only_files_that_the_manifest_lists_can_be_read(publish_digits: Publish, store: Store) -> None:
    publish_digits()
    model = store.load("digits", 1)
    assert model.read("samples.png") == b"\x89PNG"
    for file in ("../aliases.json", "manifest.json", "nothing.png"):
        with pytest.raises(StoreError):
            model.read(file)


SHIPPED = Store(default_root())


@pytest.mark.parametrize("name", SHIPPED.names())
def test_the_models_that_ship_pass_every_check(name: str) -> None:
    for version in SHIPPED.versions(name):
        SHIPPED.load(name, version)
        size = sum(entry.size for entry in SHIPPED.manifest(name, version).files.values())
        assert size <= 12 * 2**20, f"{name}@{version} must stay under 12 MiB"
        weights = SHIPPED.manifest(name, version).files["model.safetensors"].size
        assert weights <= 10_000_000, f"the weights of {name}@{version} must stay under 10 MB"
