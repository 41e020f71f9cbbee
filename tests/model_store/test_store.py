"""References, aliases, the default model, and the models that ship."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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


def test_one_wrong_character_in_the_alias_file_loses_nothing(
    publish_digits: Publish, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish_digits()
    written = '{"default": 1, "production": 1,}'
    (store.root / "digits/aliases.json").write_text(written)
    publish_digits()
    assert store.aliases("digits") == {"default": 2}
    assert (store.root / "digits/aliases.json.unreadable").read_text() == written
    assert "aliases.json is no JSON object; it is kept as aliases.json.unreadable" in caplog.text
    (store.root / "digits/aliases.json").write_text('{"default": "newest", "Remark": "kept"}')
    store.set_alias("digits", "stable", 1)
    document = json.loads((store.root / "digits/aliases.json").read_text())
    assert document == {"default": "newest", "Remark": "kept", "stable": 1}


def test_writers_at_once_keep_each_others_aliases(publish_digits: Publish, store: Store) -> None:
    publish_digits()

    def write(writer: str) -> None:
        for number in range(25):
            store.set_alias("digits", f"{writer}{number}", 1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, "ab"))
    assert len(store.aliases("digits")) == 51


def test_of_two_publishers_at_once_the_later_version_becomes_the_default(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Store.set_alias

    def late(*arguments: Any, **options: Any) -> None:
        """Another publisher is done between this one's version and its default."""
        monkeypatch.setattr(Store, "set_alias", real)
        publish_digits(seed=1)
        real(*arguments, **options)

    monkeypatch.setattr(Store, "set_alias", late)
    assert publish_digits().version == 1
    assert store.aliases("digits") == {"default": 2}


def test_a_default_that_points_at_no_version_gives_way_to_a_smaller_one(publish_digits: Publish, store: Store) -> None:
    publish_digits()
    (store.root / "digits" / "aliases.json").write_text('{"default": 999999999}')
    assert publish_digits().version == 2
    assert store.aliases("digits") == {"default": 2}


def test_a_version_that_cannot_become_the_default_is_published_all_the_same(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert publish_digits().told_of_default == ""

    def fail(*_: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "set_alias", fail)
        published = publish_digits(seed=1)
    assert store.versions("digits") == [1, 2]
    assert published.told_of_default == "digits alone means digits@1"
    assert "digits@2 is published, but it could not be made the default: " in caplog.text


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
