"""A store that was edited by hand or damaged: stale aliases, broken JSON, directories that cannot be read."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_store import ModelRefused, Published, Store, StoreError, UnknownModel

Publish = Callable[..., Published]

BROKEN = {
    "nested too deep": b"[" * 200_000,
    "objects nested too deep": b'{"default":' * 90_000,
    "not UTF-8": b'{"default": "\xff\xfe"}',
    "UTF-16": '{"default": 1}'.encode("utf-16"),
    "more digits than Python converts": b'{"default": ' + b"9" * 5000 + b"}",
    "a huge integer": b'{"default": ' + b"9" * 4000 + b"}",
    "a list": b'["default"]',
    "a list in the place of a version": b'{"default": [1]}',
    "an object in the place of a version": b'{"default": {"default": 1}}',
    "a number": b"1",
    "too large": b" " * (1 << 20) + b'{"default": 1}',
}


def remove_by_hand(version: Path) -> None:
    for file in version.iterdir():
        file.unlink()
    version.rmdir()


def test_a_default_that_points_at_a_removed_version_falls_back_to_the_newest(
    publish_digits: Publish, store: Store
) -> None:
    for _ in range(3):
        newest = publish_digits()
    remove_by_hand(newest.path)
    assert store.resolve("digits") == store.resolve("digits@default") == store.resolve() == ("digits", 2)
    assert store.aliases("digits") == {}, "aliases of versions that are gone are left out"
    store.set_alias("digits", "default", 1)
    assert store.resolve("digits") == ("digits", 1)


def test_another_alias_that_points_at_a_removed_version_is_unknown_and_says_why(
    publish_digits: Publish, store: Store
) -> None:
    for _ in range(2):
        newest = publish_digits()
    store.set_alias("digits", "canary", 2)
    remove_by_hand(newest.path)
    with pytest.raises(UnknownModel, match=r"the alias 'canary' of digits points at version 2, which is not there"):
        store.resolve("digits@canary")
    assert store.resolve("digits") == ("digits", 1)


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_alias_file_counts_as_no_alias(publish_digits: Publish, store: Store, content: bytes) -> None:
    publish_digits()
    (store.root / "digits" / "aliases.json").write_bytes(content)
    assert store.aliases("digits") == {}
    assert store.resolve("digits") == ("digits", 1)
    store.set_alias("digits", "stable", 1)
    assert store.aliases("digits") == {"stable": 1}
    kept = store.root / "digits" / "aliases.json.unreadable"
    assert not kept.exists() or kept.read_bytes() == content, "what somebody wrote is not lost"


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_store_file_counts_as_no_default(publish_digits: Publish, store: Store, content: bytes) -> None:
    publish_digits()
    (store.root / "store.json").write_bytes(content)
    assert store.default_name() == "digits"


def unreadable(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing the directory fails as for a user without permission. (Root, who may run the tests, has it always.)"""
    real = os.scandir

    def scandir(path: str | Path = ".") -> Iterator[os.DirEntry[str]]:
        if Path(path) == directory:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_model_whose_directory_cannot_be_read_is_refused_and_the_others_serve(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_digits(name="apart")
    publish_digits()
    unreadable(store.root / "apart", monkeypatch)
    assert store.names() == ["apart", "digits"]
    assert store.versions("apart") == []
    assert store.default_name() == "digits", "the first by name that can be read"
    assert store.resolve("digits") == ("digits", 1)
    assert store.load("digits", 1).version == 1
    for reference in ("apart", "apart@1", "apart@default", "apart@stable"):
        with pytest.raises(ModelRefused) as caught:
            store.resolve(reference)
        assert str(caught.value) == "apart is refused: its directory cannot be read: Permission denied"
        assert (caught.value.name, caught.value.version) == ("apart", None)


def test_a_model_that_is_a_circular_link_is_refused(publish_digits: Publish, store: Store) -> None:
    publish_digits()
    (store.root / "circle").symlink_to("circle")
    assert store.names() == ["circle", "digits"]
    with pytest.raises(ModelRefused, match="circle is refused: its directory cannot be read: "):
        store.resolve("circle")
    with pytest.raises(ModelRefused, match="circle@1 is refused: ") as caught:
        store.load("circle", 1)
    assert str(store.root) not in str(caught.value)


def test_a_version_that_is_a_circular_link_is_refused(publish_digits: Publish, store: Store) -> None:
    publish_digits()
    (store.root / "digits" / "2").symlink_to("2")
    assert store.versions("digits") == [1]
    with pytest.raises(ModelRefused, match="digits@2 is refused: ") as caught:
        store.load("digits", 2)
    assert str(store.root) not in str(caught.value)


def test_a_version_directory_that_may_not_be_entered_is_listed_and_refused(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_digits()
    closed = publish_digits().path
    real_stat, real_open = os.stat, os.open

    def inside(path: object) -> bool:
        return isinstance(path, str | Path) and Path(path).parent == closed

    def stat(path: object, *arguments: object, **options: object) -> os.stat_result:
        if inside(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_stat(path, *arguments, **options)  # type: ignore[arg-type]

    def open_(path: object, *arguments: object, **options: object) -> int:
        if inside(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "open", open_)
    assert store.versions("digits") == [1, 2]
    with pytest.raises(ModelRefused, match=r"digits@2 is refused: manifest\.json is missing or cannot be read"):
        store.load("digits", 2)
    assert store.load("digits", 1).version == 1


def test_plain_files_in_the_store_are_not_models(publish_digits: Publish, store: Store) -> None:
    publish_digits()
    (store.root / "notes").write_text("a plain file")
    (store.root / "store.json").write_text(json.dumps({"default": "notes"}))
    assert store.names() == ["digits"]
    assert store.resolve() == ("digits", 1)
    with pytest.raises(UnknownModel, match="there is no model 'notes'"):
        store.resolve("notes")
    with pytest.raises(ModelRefused):
        store.load("notes", 1)


def test_a_store_that_cannot_be_read_raises_a_store_error(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_digits()
    unreadable(store.root, monkeypatch)
    for ask in (store.names, store.default_name, store.resolve):
        with pytest.raises(StoreError, match="the store cannot be read: Permission denied"):
            ask()


def test_a_disk_that_fails_while_a_file_is_read_refuses_that_version(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_digits()

    def fail(*_: object) -> os.stat_result:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(ModelRefused) as caught:
            store.load("digits", 1)
    assert caught.value.reason == "manifest.json is missing or cannot be read"
    assert store.resolve("digits") == ("digits", 1)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"format": 2}, "manifest: format 2 is not one that this version of Sluice reads (it reads 1)"),
        ({"format": "1.5"}, "manifest: format '1.5' is not one that this version of Sluice reads (it reads 1)"),
        ({"format": 2, "surprise": {}}, "manifest: format 2 is not one"),
        ({"format": 10**30}, "manifest: format 1000000000000000000000000000000 is not one"),
        ({"format": "x" * 500}, "manifest: format 'xxxxxxxx"),
        ({}, "manifest: format: Field required"),
    ],
)
def test_a_manifest_of_an_unknown_format_is_refused_with_that_format_named(
    publish_digits: Publish, store: Store, document: dict[str, object], reason: str
) -> None:
    (publish_digits().path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(ModelRefused) as caught:
        store.load("digits", 1)
    assert caught.value.reason.startswith(reason)
    assert len(caught.value.reason) < 200


@pytest.mark.parametrize("depth", [150, 100_000])
def test_a_manifest_whose_arguments_are_nested_too_deep_is_refused(
    publish_digits: Publish, store: Store, depth: int
) -> None:
    path = publish_digits().path / "manifest.json"
    text = path.read_text()
    assert '"hidden":[' in text.replace(" ", "").replace("\n", "")
    manifest = json.loads(text)
    manifest["architecture"]["arguments"]["hidden"] = "NESTED"
    path.write_text(json.dumps(manifest).replace('"NESTED"', "[" * depth + "]" * depth))
    with pytest.raises(ModelRefused):
        store.load("digits", 1)
