"""A store on S3: the answers of the same store in a directory, whatever the network does."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model_store import ModelRefused, Store, StoreError, UnknownModel, open_store, receive, signatures
from model_store.manifest import MANIFEST, WEIGHTS
from model_store.remote.objects import Objects
from tests.model_store.remote.s3_server import URL, Answer, Bucket, FaultyDoor, bucket_of, first, s3_server
from tests.scale.markers import LONG
from tests.service.helpers import DIGITS, POINTS, publish_small

GIB = 2**30


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two versions of `points` and one of `digits`."""
    root = tmp_path_factory.mktemp("published")
    publish_small(root, "points", POINTS)
    publish_small(root, "points", POINTS, seed=1)
    publish_small(root, "digits", DIGITS)
    (root / "store.json").write_text('{"default": "points"}')
    return root


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, FaultyDoor]]:
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(server: tuple[str, FaultyDoor], published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with bucket_of(*server, published, monkeypatch) as found:
        yield found


def opened(cache: Path, bound: int = GIB) -> Store:
    return open_store(URL, cache, bound)


def blobs(cache: Path) -> list[Path]:
    return sorted((cache / "files").iterdir())


def test_it_answers_what_the_directory_answers(bucket: Bucket, published: Path, tmp_path: Path) -> None:
    here, there = Store(published), opened(tmp_path)
    assert there.names() == here.names() == ["digits", "points"]
    assert there.versions("points") == [1, 2]
    assert there.versions("nothing") == []
    assert there.aliases("points") == here.aliases("points") == {"default": 2}
    assert there.default_name() == "points"
    assert there.resolve() == there.resolve("points@default") == ("points", 2)
    assert there.manifest("points", 1) == here.manifest("points", 1)
    assert there.manifest_bytes("digits", 1) == here.manifest_bytes("digits", 1)
    assert there.read("points", 1, "README.md") == here.read("points", 1, "README.md")
    items = torch.randn(5, 2)
    expected = here.load("points", 2).flow.log_prob(items)
    assert torch.equal(there.load("points", 2).flow.log_prob(items), expected)
    assert there.verify("points", 1) == here.verify("points", 1)
    for text in ("points@7", "nothing", "points@stable"):
        with pytest.raises(UnknownModel):
            there.resolve(text)


@LONG
def test_files_come_once_and_are_shared_between_processes(bucket: Bucket, tmp_path: Path) -> None:
    opened(tmp_path).load("points", 2)
    downloads = [path for method, path in bucket.door.seen if method == "GET" and path.endswith(WEIGHTS)]
    assert len(downloads) == 1
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_loaded, (tmp_path,)) == "points@2"
    assert [path for method, path in bucket.door.seen if method == "GET" and path.endswith(WEIGHTS)] == downloads


def _loaded(cache: Path) -> str:
    return opened(cache).load("points", 2).reference


@pytest.mark.parametrize(
    "answer",
    [Answer("503 Slow Down"), Answer(keep=0.5), Answer("500 Internal Server Error")],
    ids=["503", "cut short", "500"],
)
def test_faults_of_the_network_are_tried_again(bucket: Bucket, tmp_path: Path, answer: Answer) -> None:
    bucket.door.faults = [first(2, answer, "GET", "safetensors"), first(2, answer, "HEAD"), first(1, answer, "GET")]
    assert opened(tmp_path).load("points", 2).reference == "points@2"
    assert not list((tmp_path / "files").glob(".download-*"))


def test_a_slow_answer_is_waited_for(bucket: Bucket, tmp_path: Path) -> None:
    bucket.door.faults = [first(1, Answer(wait=0.5), "GET", WEIGHTS)]
    assert opened(tmp_path).load("points", 1).reference == "points@1"


def test_storage_that_is_down_is_told_and_the_cache_goes_on(bucket: Bucket, tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.load("points", 2)
    bucket.door.faults = [lambda _: Answer("503 Service Unavailable")]
    again = opened(tmp_path)
    assert again.names() == ["points"]
    tries = len(bucket.door.seen)
    assert again.aliases("points") == {"default": 2}
    assert len(bucket.door.seen) == tries, "storage that was down a moment ago is not waited for again"
    assert again.load(*again.resolve("points")).reference == "points@2"
    with pytest.raises(StoreError, match=r"s3://models/store: points/1/\S+: \w+ after 6 attempts"):
        again.load("points", 1)
    with pytest.raises(StoreError, match="after 6 attempts"):
        opened(tmp_path / "empty").resolve("points")


def test_access_that_is_denied_is_told_at_once_and_without_the_key(bucket: Bucket, tmp_path: Path) -> None:
    bucket.door.faults = [lambda _: Answer("403 Forbidden")]
    with pytest.raises(StoreError, match="s3://models/store: the listing: access is denied") as refused:
        opened(tmp_path).names()
    assert len(bucket.door.seen) == 1
    assert "secret" not in str(refused.value)


def test_bytes_that_are_not_the_manifests_are_refused(bucket: Bucket, tmp_path: Path) -> None:
    right = bucket.get(f"points/2/{WEIGHTS}")
    for wrong, told in (
        (right[:-1] + bytes([right[-1] ^ 1]), "the sha256 of model.safetensors is not the manifest's"),
        (right + b"more", f"model.safetensors has {len(right) + 4} bytes, not {len(right)}"),
    ):
        bucket.put(f"points/2/{WEIGHTS}", wrong)
        with pytest.raises(ModelRefused, match=told):
            opened(tmp_path).load("points", 2)
    bucket.delete(f"points/2/{WEIGHTS}")
    with pytest.raises(ModelRefused, match=f"{WEIGHTS} is missing"):
        opened(tmp_path).load("points", 2)
    assert not any(path.name.startswith(".") for path in blobs(tmp_path))
    assert opened(tmp_path).load("points", 1).reference == "points@1"
    manifest = json.loads(bucket.get(f"points/1/{MANIFEST}"))
    bucket.put(f"points/3/{MANIFEST}", json.dumps({**manifest, "version": 3, "files": {"../../x": {}}}).encode())
    with pytest.raises(ModelRefused, match="manifest: files"):
        opened(tmp_path).load("points", 3)


def test_a_file_that_was_damaged_in_the_cache_comes_anew(bucket: Bucket, tmp_path: Path) -> None:
    opened(tmp_path).load("points", 2)
    for blob in blobs(tmp_path):
        blob.chmod(0o644)
        blob.write_bytes(b"\0" * blob.stat().st_size)
    assert opened(tmp_path).load("points", 2).reference == "points@2"


@LONG
def test_a_download_that_was_killed_leaves_nothing_to_load(bucket: Bucket, tmp_path: Path) -> None:
    bucket.door.faults = [first(1, Answer(wait=30), "GET", WEIGHTS)]
    process = multiprocessing.get_context("spawn").Process(target=_loaded, args=(tmp_path,))
    process.start()
    deadline = threading.Event()
    while not list(tmp_path.glob("files/.download-*")):
        assert process.is_alive()
        deadline.wait(0.02)
    process.kill()
    process.join()
    assert list(tmp_path.glob("files/.download-*"))
    assert opened(tmp_path).load("points", 2).reference == "points@2"
    assert not list(tmp_path.glob("files/.download-*"))


def test_the_cache_stays_within_its_bound(bucket: Bucket, published: Path, tmp_path: Path) -> None:
    sizes = {
        version: sum(entry.size for entry in Store(published).manifest("points", version).files.values())
        for version in (1, 2)
    }
    bound = max(sizes.values()) + 100
    store = opened(tmp_path, bound)
    first_model = store.load("points", 1)
    with pytest.raises(StoreError, match=f"has no room for [0-9,]+ bytes: [0-9,]+ of {bound:,} are in use"):
        store.load("points", 2)
    assert first_model.read("README.md")
    del first_model
    assert store.load("points", 2).reference == "points@2"
    assert sum(path.stat().st_size for path in blobs(tmp_path)) <= bound
    assert store.versions("points") == [1, 2]
    assert store.load("points", 1).reference == "points@1"


def test_a_copy_of_a_model_keeps_its_files_in_the_cache(bucket: Bucket, published: Path, tmp_path: Path) -> None:
    bound = sum(entry.size for entry in Store(published).manifest("points", 1).files.values()) + 200
    store = opened(tmp_path, bound)
    copy = replace(store.load("points", 1), least_rows=None)  # as the service makes of what it loads
    with pytest.raises(StoreError, match="has no room"):
        store.load("points", 2)
    assert copy.read("README.md")
    del copy
    assert store.load("points", 2).reference == "points@2"


def test_publishing_writes_the_manifest_last_and_a_reader_sees_all_or_nothing(
    bucket: Bucket, published: Path, tmp_path: Path
) -> None:
    store, reader = opened(tmp_path / "a"), opened(tmp_path / "b")
    bucket.door.faults = [first(2, Answer("503 Slow Down"), "PUT", WEIGHTS)]
    found = receive(store, published / "digits/1", "numbers")
    assert (found.version, found.place) == (1, f"{URL}/numbers/1")
    puts = [path for method, path in bucket.door.seen if method == "PUT" and "/numbers/1/" in path]
    assert puts[-1].endswith(MANIFEST)
    assert reader.load(*reader.resolve("numbers")).reference == "numbers@1"
    assert receive(store, published / "digits/1", "numbers") == found._replace(new=False)
    # A publisher that dies before the manifest leaves a number that nobody sees.
    bucket.door.faults = [lambda env: Answer("403 Forbidden") if env["PATH_INFO"].endswith(MANIFEST) else None]
    with pytest.raises(StoreError):
        receive(store, published / "points/1", "numbers")
    bucket.door.faults = []
    assert reader.versions("numbers") == [1]
    assert any(key.startswith("numbers/2/") for key in bucket.listed())
    assert receive(store, published / "points/1", "numbers").version == 3
    assert reader.resolve("numbers") == ("numbers", 3)


def test_two_publishers_get_different_versions(bucket: Bucket, published: Path, tmp_path: Path) -> None:
    found: list[int] = []

    def publish(number: int) -> None:
        store = opened(tmp_path / str(number))
        found.append(publish_small_to(store, seed=number))

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1, 2, 3, 4]
    store = opened(tmp_path / "reader")
    assert {store.load("many", version).version for version in store.versions("many")} == {1, 2, 3, 4}
    assert store.aliases("many") == {"default": 4}


def test_a_later_default_that_was_set_meanwhile_stays(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = opened(tmp_path / "one"), Objects.replace
    publish_small_to(opened(tmp_path / "first"), seed=0)

    def late(objects: Objects, key: str, *others: Any) -> bool:
        """Another publisher is done between this one's look at the default and its own."""
        if key == "many/aliases.json":
            monkeypatch.setattr(Objects, "replace", real)
            publish_small_to(opened(tmp_path / "two"), seed=2)
        return real(objects, key, *others)

    monkeypatch.setattr(Objects, "replace", late)
    assert publish_small_to(store, seed=1) == 2
    assert store.aliases("many") == {"default": 3}


def publish_small_to(store: Store, seed: int) -> int:
    """Publish a small model of vectors as `many`; its version."""
    folder = store.root.parent / "made"
    publish_small(folder, "many", POINTS, seed=seed)
    return receive(store, folder / "many/1").version


def test_an_alias_keeps_those_that_others_set(bucket: Bucket, tmp_path: Path) -> None:
    one, other = opened(tmp_path / "a"), opened(tmp_path / "b")
    one.set_alias("points", "stable", 1)
    other.set_alias("points", "next", 2)
    assert one.aliases("points") == {"default": 2, "stable": 1, "next": 2}
    with pytest.raises(UnknownModel):
        one.set_alias("points", "stable", 9)


@pytest.mark.parametrize("content", [b"{}", b'{"default": 1,}', b"[1]"])
def test_an_alias_file_that_holds_none_is_written_over_and_what_was_unreadable_is_kept(
    bucket: Bucket, tmp_path: Path, content: bytes
) -> None:
    bucket.put("points/aliases.json", content)
    store = opened(tmp_path)
    store.set_alias("points", "stable", 1)
    assert store.aliases("points") == {"stable": 1}
    kept = bucket.get("points/aliases.json.unreadable") if content != b"{}" else content
    assert kept == content


def test_an_alias_that_others_always_win_is_given_up(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    tries: list[str] = []

    def lose(_: Objects, key: str, *_others: object) -> bool:
        tries.append(key)
        return False

    monkeypatch.setattr(Objects, "replace", lose)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(StoreError, match=r"points/aliases\.json could not be written: others change it all the time"):
        store.set_alias("points", "stable", 1)
    assert len(tries) == 20


def test_a_version_that_was_removed_is_no_longer_there(bucket: Bucket, tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.load("points", 1)
    for key in bucket.listed():
        if key.startswith("points/1/"):
            bucket.delete(key)
    assert store.versions("points") == [2]
    with pytest.raises(UnknownModel):
        store.resolve("points@1")
    assert not list(tmp_path.glob(f"*/points/1/{MANIFEST}"))


def test_a_number_that_was_given_again_is_fetched_anew(bucket: Bucket, published: Path, tmp_path: Path) -> None:
    store = opened(tmp_path)
    old = store.load("points", 2)
    sent = [path for path in (published / "points/1").iterdir() if path.name != MANIFEST]
    for path in sent:
        bucket.put(f"points/2/{path.name}", path.read_bytes())
    manifest = {**json.loads((published / f"points/1/{MANIFEST}").read_text()), "version": 2}
    written = json.dumps(manifest, indent=1).encode() + b"\n"
    assert len(written) == len(bucket.get(f"points/2/{MANIFEST}")), "the size alone tells nothing"
    bucket.put(f"points/2/{MANIFEST}", written)
    new = store.load(*store.resolve("points@2"))
    assert new.manifest.files == Store(published).manifest("points", 1).files != old.manifest.files
    seen = [path for method, path in bucket.door.seen if method == "GET" and path.endswith(f"points/2/{MANIFEST}")]
    store.resolve("points@2")
    again = [path for method, path in bucket.door.seen if method == "GET" and path.endswith(f"points/2/{MANIFEST}")]
    assert again == seen, "what did not change is not fetched again"


@pytest.mark.parametrize("behind_a_url", [False, True])
def test_the_number_of_a_removed_version_that_an_alias_names_is_not_given_again(
    published: Path, tmp_path: Path, behind_a_url: bool
) -> None:
    root = tmp_path / "there"
    shutil.copytree(published, root)
    shutil.rmtree(root / "points/2")
    store = open_store(root.as_uri(), tmp_path / "cache", GIB) if behind_a_url else Store(root)
    assert receive(store, published / "points/2").version == 3
    assert store.aliases("points") == {"default": 3}


def test_a_directory_behind_a_url_is_a_store_too(published: Path, tmp_path: Path) -> None:
    shutil.copytree(published, tmp_path / "there")
    store = open_store((tmp_path / "there").as_uri(), tmp_path / "cache", GIB)
    assert store.load(*store.resolve()).reference == "points@2"
    assert receive(store, published / "digits/1", "more").version == 1
    assert Store(tmp_path / "there").load("more", 1).reference == "more@1"


def test_a_signature_reaches_every_service(
    bucket: Bucket, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures.make_key(tmp_path / "key.pem")
    trusted = signatures.TrustedKeys.read(tmp_path / "key.pem.pub")
    demanding = open_store(URL, tmp_path / "theirs", GIB, trusted)
    with pytest.raises(ModelRefused, match="not signed"):
        demanding.load("points", 2)
    opened(tmp_path / "mine").sign("points", 2, signatures.read_key(tmp_path / "key.pem"))
    demanding.load("points", 2)
    with pytest.raises(ModelRefused, match="not signed"):
        demanding.load("points", 1)
    monkeypatch.setenv("SLUICE_SIGNING_KEY", str(tmp_path / "key.pem"))
    receive(opened(tmp_path / "mine"), published / "points/1", "more")
    assert demanding.load("more", 1).reference == "more@1"
