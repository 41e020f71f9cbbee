"""Models to and from directories, archives and hub repositories: round trips, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

import flows
from model_store import Published, Store, StoreError, publish_weights, receive, send
from model_store.transfer import Layout
from model_store.weights import flow_to_bytes
from tests.model_store.conftest import ARGUMENTS

Publish = Callable[..., Published]
LAYOUTS: tuple[Layout, ...] = ("sluice", "huggingface")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "other")


def unzip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def is_as_it_was(store: Store) -> bool:
    """Whether nothing was published, and nothing was left behind."""
    return store.names() == [] and (not store.root.exists() or not any(store.root.rglob("*")))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("target", ["folder", "archive.zip"])
def test_a_model_that_left_a_store_comes_back_with_the_same_files(
    publish_digits: Publish, store: Store, other: Store, tmp_path: Path, layout: Layout, target: str
) -> None:
    publish_digits()
    names = send(store, "digits", 1, tmp_path / "out" / target, layout)
    assert "model.safetensors" in names
    assert ("config.json" in names) == (layout == "huggingface")
    came = receive(other, tmp_path / "out" / target)
    assert (came.name, came.version) == ("digits", 1)
    assert other.manifest("digits", 1).files == store.manifest("digits", 1).files
    assert other.manifest("digits", 1).provenance["published_as"] == "digits@1"
    assert other.load("digits", 1).deviation.log_likelihood < 1e-3
    # The same once more is no new version; under another name it is that name's first.
    assert receive(other, tmp_path / "out" / target).version == 1
    assert receive(other, tmp_path / "out" / target, name="numbers")[:3] == ("numbers", 1, other.root / "numbers/1")
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_the_archive_of_a_model_is_the_same_every_time(publish_digits: Publish, store: Store, tmp_path: Path) -> None:
    publish_digits()
    for name in ("a.zip", "b.zip"):
        send(store, "digits", 1, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_hub_repository_reads_as_one(publish_digits: Publish, store: Store, other: Store, tmp_path: Path) -> None:
    publish_digits()
    send(store, "digits", 1, tmp_path / "repository", "huggingface")
    card = (tmp_path / "repository/README.md").read_text()
    assert card.startswith("---\nlibrary_name: sluice\n")
    assert 'datasets: ["mnist"]' in card
    assert card.endswith("---\n# digits\n")
    config = json.loads((tmp_path / "repository/config.json").read_text())
    assert config["model_type"] == "nice"
    assert config["item"] == {"shape": [28, 28], "dtype": "uint8"}
    # A card may be edited where it is shown, and other programs leave files of their own.
    (tmp_path / "repository/README.md").write_text("---\nlicense: mit\n---\n# Digits of mine\n")
    (tmp_path / "repository/.gitattributes").write_text("*.safetensors filter=lfs\n")
    receive(other, tmp_path / "repository")
    assert other.read("digits", 1, "README.md") == b"# Digits of mine\n"


def test_an_archive_may_keep_its_files_in_a_folder(
    publish_digits: Publish, store: Store, other: Store, tmp_path: Path
) -> None:
    publish_digits()
    send(store, "digits", 1, tmp_path / "flat.zip")
    files = {f"digits-1/{name}": data for name, data in unzip(tmp_path / "flat.zip").items()}
    receive(other, rezip(tmp_path / "deep.zip", {"digits-1/": b"", **files}, zipfile.ZIP_DEFLATED))
    assert other.names() == ["digits"]


def test_what_is_there_already_is_not_overwritten(publish_digits: Publish, store: Store, tmp_path: Path) -> None:
    publish_digits()
    (tmp_path / "file.zip").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (tmp_path / "file.zip", tmp_path, tmp_path / "link"):
        with pytest.raises(StoreError, match="already"):
            send(store, "digits", 1, target)
    assert (tmp_path / "file.zip").read_bytes() == b"mine"


# What came from somebody else.


@pytest.fixture
def sent(publish_digits: Publish, store: Store, tmp_path: Path) -> dict[str, bytes]:
    """The files of a good archive."""
    publish_digits()
    send(store, "digits", 1, tmp_path / "good.zip")
    return unzip(tmp_path / "good.zip")


def _changed(contents: dict[str, bytes], **members: Any) -> dict[str, bytes]:
    """The files with members of the manifest replaced."""
    manifest = {**json.loads(contents["manifest.json"]), **members}
    return {**contents, "manifest.json": json.dumps(manifest).encode()}


def _entry(files: dict[str, bytes], name: str, **members: Any) -> dict[str, bytes]:
    """The files with the manifest's entry of one of them changed, or added."""
    listed = json.loads(files["manifest.json"])["files"]
    entry = {**listed.get(name, {"sha256": "0" * 64, "size": 0}), **members}
    return _changed(files, files={**listed, name: entry})


def _damaged(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    data = bytearray(files[name])
    data[-5] ^= 0x40
    return {**files, name: bytes(data)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: _damaged(f, "model.safetensors"), "sha256 of model.safetensors"),
        (lambda f: {k: v for k, v in f.items() if k != "model.safetensors"}, "model.safetensors is missing"),
        (lambda f: {k: v for k, v in f.items() if k != "manifest.json"}, "neither manifest.json nor config.json"),
        (lambda f: {**f, "README.md": b"longer than before" * 9}, "larger than"),
        (lambda f: {**f, "README.md": b"#"}, "README.md has 1 bytes"),
        (lambda f: {**f, "manifest.json": b"{"}, "manifest: "),
        (lambda f: {**f, "manifest.json": b"{}" + b" " * 2**20}, "manifest.json is larger"),
        (lambda f: _changed(f, format=9), "format 9"),
        (lambda f: _changed(f, name="../../evil"), "name"),
        (lambda f: _changed(f, surprise=1), "surprise"),
        (lambda f: _entry(f, "../../evil"), "files"),
        (lambda f: _entry(f, "manifest.json", size=2), "cannot be a file of a model"),
        (lambda f: _entry({**f, "manifest.sig": b""}, "manifest.sig"), "manifest.sig cannot be a file of a model"),
        (lambda f: _entry(f, "huge.png", size=2**40), "larger than the 4,294,967,296 bytes"),
        (lambda f: _changed(f, architecture={"name": "os.system", "arguments": {}}), "os.system"),
        (lambda f: _changed(f, architecture={"name": "nice", "arguments": {"hidden": [10**6]}}), "refused"),
    ],
)
def test_a_model_that_fails_a_check_is_refused_and_leaves_nothing(
    sent: dict[str, bytes],
    other: Store,
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
    message: str,
) -> None:
    with pytest.raises(StoreError, match=message):
        receive(other, rezip(tmp_path / "bad.zip", change(sent)))
    folder = tmp_path / "bad"
    folder.mkdir()
    for name, data in change(sent).items():
        (folder / name).write_bytes(data)
    with pytest.raises(StoreError, match=message):
        receive(other, folder)
    assert is_as_it_was(other)


def test_a_model_whose_answers_are_not_its_golden_ones_is_refused(
    sent: dict[str, bytes], other: Store, tmp_path: Path
) -> None:
    import hashlib

    torch.manual_seed(9)
    flow = flows.nice((28, 28), **ARGUMENTS)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(torch.randn(parameter.shape))
    weights = flow_to_bytes(flow, "float32")
    swapped = _entry(
        {**sent, "model.safetensors": weights},
        "model.safetensors",
        sha256=hashlib.sha256(weights).hexdigest(),
        size=len(weights),
    )
    with pytest.raises(StoreError, match=r"golden|round trip"):
        receive(other, rezip(tmp_path / "swapped.zip", swapped))
    assert is_as_it_was(other)


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("items", torch.zeros(8, 28, 28, dtype=torch.complex64), "'items' is torch.complex64, which no model needs"),
        ("more", torch.zeros(2, dtype=torch.float8_e4m3fn), "'more' is torch.float8_e4m3fn, which no model needs"),
        ("items", torch.zeros(8, 28, 28, dtype=torch.bool), "holds items of torch.bool"),
        ("log_likelihood", torch.zeros(8, dtype=torch.bool), "answers of torch.bool"),
    ],
)
def test_crafted_golden_tensors_are_refused(
    sent: dict[str, bytes], other: Store, tmp_path: Path, name: str, tensor: torch.Tensor, reason: str
) -> None:
    golden = save({**load(sent["golden.safetensors"]), name: tensor})
    manifest = json.loads(sent["manifest.json"])
    manifest["files"]["golden.safetensors"] = {"sha256": hashlib.sha256(golden).hexdigest(), "size": len(golden)}
    files = {**sent, "golden.safetensors": golden, "manifest.json": json.dumps(manifest).encode()}
    with pytest.raises(StoreError, match=re.escape(reason)):
        receive(other, rezip(tmp_path / "crafted.zip", files))
    assert is_as_it_was(other)


def test_a_damaged_version_does_not_keep_a_whole_one_out(
    publish_digits: Publish, store: Store, other: Store, tmp_path: Path
) -> None:
    publish_digits()
    send(store, "digits", 1, tmp_path / "out")
    receive(other, tmp_path / "out")
    (other.root / "digits/1/manifest.json").write_text("{")
    came = receive(other, tmp_path / "out")
    assert (came.version, came.new) == (2, True)
    again = receive(other, tmp_path / "out")
    assert (again.version, again.new, again.told_of_default) == (2, False, "")
    publish_digits(seed=3)
    other.set_alias("digits", "default", 1)
    assert receive(other, tmp_path / "out").told_of_default == "digits alone means digits@1"


def test_links_are_not_followed(sent: dict[str, bytes], other: Store, tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    folder.mkdir()
    for name, data in sent.items():
        (folder / name).write_bytes(data)
    (tmp_path / "weights").write_bytes(sent["model.safetensors"])
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "weights")
    with pytest.raises(StoreError, match=r"model\.safetensors"):
        receive(other, folder)
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")  # reading it would wait for ever
    with pytest.raises(StoreError, match="not a plain file"):
        receive(other, folder)
    link = zipfile.ZipInfo("README.md")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in sent.items():
            archive.writestr(link if name == "README.md" else name, data)
    (tmp_path / "link.zip").write_bytes(stream.getvalue())
    with pytest.raises(StoreError, match=r"README\.md is not a plain file"):
        receive(other, tmp_path / "link.zip")
    assert is_as_it_was(other)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_deceive_are_refused(sent: dict[str, bytes], other: Store, tmp_path: Path) -> None:
    bomb = rezip(tmp_path / "bomb.zip", {**sent, "README.md": b"\0" * 2**26}, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**21
    with pytest.raises(StoreError, match=r"README\.md is larger"):
        receive(other, bomb)
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        for name, data in [*sent.items(), ("README.md", b"another")]:
            archive.writestr(name, data)
    with pytest.raises(StoreError, match="twice"):
        receive(other, tmp_path / "twice.zip")
    whole = (tmp_path / "good.zip").read_bytes()
    for place, data in enumerate((b"", b"PK\x05\x06", whole[: len(whole) // 2], whole[:100] + whole[5000:])):
        (tmp_path / f"cut{place}.zip").write_bytes(data)
        with pytest.raises(StoreError):
            receive(other, tmp_path / f"cut{place}.zip")
    many = {f"{index}": b"" for index in range(10_001)}
    with pytest.raises(StoreError, match="more than 10,000"):
        receive(other, rezip(tmp_path / "many.zip", many))
    with pytest.raises(StoreError, match="no such"):
        receive(other, tmp_path / "absent")
    with pytest.raises(StoreError, match="not the name of a model"):
        receive(other, tmp_path / "good.zip", name="../evil")
    assert is_as_it_was(other)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": b"{}"}, "holds no manifest of Sluice's"),
        ({"config.json": b"[1]"}, "holds no manifest of Sluice's"),
        ({"config.json": b"{"}, "no JSON"),
        ({"config.json": b'{"sluice": {"format": 1}}'}, "manifest: "),
    ],
)
def test_a_repository_of_another_program_is_refused(
    other: Store, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        receive(other, rezip(tmp_path / "foreign.zip", files))


def test_front_matter_that_does_not_end_is_refused(
    publish_digits: Publish, store: Store, other: Store, tmp_path: Path
) -> None:
    publish_digits()
    send(store, "digits", 1, tmp_path / "repository", "huggingface")
    (tmp_path / "repository/README.md").write_text("---\nlicense: mit\n# Digits\n")
    with pytest.raises(StoreError, match="front matter"):
        receive(other, tmp_path / "repository")


# Weights without a manifest.

CONFIG: dict[str, Any] = {
    "architecture": {"name": "nice", "arguments": {**ARGUMENTS, "image": False}},
    "item": {"shape": [3], "dtype": "float32"},
    "transformers_version": "another program's",
}


@pytest.fixture
def weights() -> bytes:
    torch.manual_seed(0)
    return flow_to_bytes(flows.nice((3,), image=False, **ARGUMENTS), "float32")


def test_weights_without_a_manifest_are_published_with_a_self_test(
    other: Store, tmp_path: Path, weights: bytes
) -> None:
    card = b"---\nlicense: mit\n---\n# Mine\n"
    files = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": weights, "README.md": card}
    assert publish_weights(other, rezip(tmp_path / "mine.zip", files), "mine").version == 1
    loaded = other.load("mine", 1)
    assert loaded.manifest.golden.count == 8
    assert loaded.calibration is None
    assert other.read("mine", 1, "README.md") == b"# Mine\n"
    del files["README.md"]
    golden = torch.randn(5, 3)
    assert publish_weights(other, rezip(tmp_path / "bare.zip", files), "mine", golden).version == 2
    assert other.load("mine", 2).manifest.golden.count == 5
    assert b"without a card" in other.read("mine", 2, "README.md")
    with pytest.raises(StoreError, match="golden items"):
        publish_weights(other, tmp_path / "bare.zip", "mine", torch.randn(5, 4))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "architecture"),
        ({**CONFIG, "architecture": {"name": "eval", "arguments": {}}}, "eval"),
        ({**CONFIG, "architecture": {"name": "nice", "arguments": {"couplings": -1}}}, "couplings"),
        ({**CONFIG, "item": {"shape": [4], "dtype": "float32"}}, "tensor"),
        ({**CONFIG, "item": {"shape": [3], "dtype": "uint8"}}, "do not fit"),
        ({**CONFIG, "weights": {"dtype": "bfloat16"}}, "float32, not"),
    ],
)
def test_weights_that_do_not_fit_their_config_are_refused(
    other: Store, tmp_path: Path, weights: bytes, config: dict[str, Any], message: str
) -> None:
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": weights}
    with pytest.raises(StoreError, match=message):
        publish_weights(other, rezip(tmp_path / "bad.zip", files), "mine")
    assert is_as_it_was(other)


def test_weights_of_another_kind_are_refused_unread(other: Store, tmp_path: Path) -> None:
    files = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": b"\x80\x04cos\nsystem\n"}
    with pytest.raises(StoreError, match="not a readable safetensors file"):
        publish_weights(other, rezip(tmp_path / "pickle.zip", files), "mine")
    with pytest.raises(StoreError, match=r"config\.json is missing"):
        publish_weights(other, rezip(tmp_path / "none.zip", {"model.safetensors": b""}), "mine")
