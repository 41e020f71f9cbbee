"""Signed models: what is signed loads, and nothing else does where signatures are asked for."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from model_store import ModelRefused, Store, signatures
from model_store.manifest import SIGNATURE
from model_store.signatures import TrustedKeys, UnusableKey
from service.cli import main as sluice
from tests.service.helpers import POINTS, assert_problem, publish_small, running


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of keys, `mine.pem` and `other.pem`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine.pem", "other.pem"):
        signatures.make_key(folder / name)
    return folder


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """`points` in two versions, of which the first is signed by `mine`, and `others`, which nobody signed."""
    root = tmp_path_factory.mktemp("store")
    publish_small(root, "points", POINTS)
    publish_small(root, "points", POINTS, seed=1)
    publish_small(root, "others", POINTS)
    result = CliRunner().invoke(sluice, ["sign", "points@1", "--key", str(keys / "mine.pem"), "--store", str(root)])
    assert result.exit_code == 0, result.output
    assert "points@1 is signed by" in result.output
    return root


@pytest.fixture
def store(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "store"))


def load(store: Path, trusted: Path, name: str = "points", version: int = 1) -> None:
    Store(store, TrustedKeys.read(trusted)).load(name, version)


def test_a_version_loads_where_one_of_the_trusted_keys_signed_it(store: Path, keys: Path, tmp_path: Path) -> None:
    load(store, keys / "mine.pem.pub")
    both = tmp_path / "both.pem"
    both.write_bytes((keys / "other.pem.pub").read_bytes() + (keys / "mine.pem.pub").read_bytes())
    load(store, both)
    Store(store).load("points", 2)  # where no signature is asked for, none is looked at


def test_what_is_not_signed_by_a_trusted_key_is_refused_with_the_reason(store: Path, keys: Path) -> None:
    with pytest.raises(ModelRefused, match="a key that is not trusted here"):
        load(store, keys / "other.pem.pub")
    for name, version in (("points", 2), ("others", 1)):
        with pytest.raises(ModelRefused, match="it is not signed"):
            load(store, keys / "mine.pem.pub", name, version)


def test_whatever_is_changed_after_signing_is_refused(store: Path, keys: Path) -> None:
    manifest, signature = store / "points/1/manifest.json", store / "points/1" / SIGNATURE
    whole, said = manifest.read_bytes(), json.loads(signature.read_bytes())

    def refused(match: str) -> None:
        with pytest.raises(ModelRefused, match=match):
            load(store, keys / "mine.pem.pub")
        manifest.write_bytes(whole)
        signature.write_text(json.dumps(said))

    manifest.write_bytes(whole.replace(b'"seed": 0', b'"seed": 1', 1))
    refused("its signature does not fit its manifest")
    manifest.write_bytes(whole + b" ")
    refused("its signature does not fit its manifest")
    signature.write_text(json.dumps({**said, "signature": said["signature"][::-1]}))
    refused("cannot be read|does not fit")
    for wrong in (
        "",
        "[]",
        "{",
        json.dumps({**said, "algorithm": "none"}),
        json.dumps({**said, "more": 1}),
        "9" * 70_000,
    ):
        signature.write_text(wrong)
        refused("cannot be read|not signed")
    weights = store / "points/1/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    refused("model.safetensors")


def test_a_signature_of_one_version_is_none_of_another(store: Path, keys: Path) -> None:
    shutil.copy2(store / "points/1" / SIGNATURE, store / "points/2")
    with pytest.raises(ModelRefused, match="does not fit"):
        load(store, keys / "mine.pem.pub", version=2)
    shutil.copytree(store / "points/1", store / "others/2")  # signed as it is, and still not `others@2`
    with pytest.raises(ModelRefused, match="is that of points@1"):
        load(store, keys / "mine.pem.pub", "others", 2)


def test_a_private_key_is_its_owners_alone_and_is_never_overwritten(keys: Path) -> None:
    assert stat.S_IMODE((keys / "mine.pem").stat().st_mode) == 0o600
    before = (keys / "mine.pem").read_bytes()
    with pytest.raises(UnusableKey, match="no key can be written"):
        signatures.make_key(keys / "mine.pem")
    assert (keys / "mine.pem").read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_files_that_hold_no_key_are_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)
    for read in (TrustedKeys.read, signatures.read_key):
        with pytest.raises(UnusableKey, match="key"):
            read(tmp_path / "key")
    with pytest.raises(UnusableKey, match="cannot be read"):
        TrustedKeys.read(tmp_path / "missing")


def test_what_is_published_is_signed_where_a_key_is_set(
    tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_SIGNING_KEY", str(keys / "mine.pem"))
    publish_small(tmp_path / "store", "points", POINTS)
    load(tmp_path / "store", keys / "mine.pem.pub")
    assert {path.name for path in (tmp_path / "store/points/1").iterdir()} >= {"manifest.json", SIGNATURE}
    # A version that cannot be signed is not published.
    monkeypatch.setenv("SLUICE_SIGNING_KEY", str(tmp_path / "missing.pem"))
    with pytest.raises(UnusableKey, match=r"missing\.pem cannot be read"):
        publish_small(tmp_path / "store", "points", POINTS, seed=1)
    assert sorted(path.name for path in (tmp_path / "store/points").iterdir()) == ["1", "aliases.json"]


def test_verify_and_the_commands_on_files_ask_for_the_signature(
    store: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_TRUSTED_KEYS", str(keys / "mine.pem.pub"))
    shelf = ["--store", str(store)]
    passed = CliRunner().invoke(sluice, ["verify", "points@1", *shelf])
    assert (passed.exit_code, "signed by" in passed.output) == (0, True), passed.output
    failed = CliRunner().invoke(sluice, ["verify", *shelf])
    assert failed.exit_code == 1
    assert "it is not signed" in failed.output
    sampled = CliRunner().invoke(sluice, ["sample", "--model", "others", "-o", str(store / "x.npy"), *shelf])
    assert sampled.exit_code == 1
    assert "it is not signed" in sampled.output
    monkeypatch.setenv("SLUICE_TRUSTED_KEYS", str(store / "none"))
    assert CliRunner().invoke(sluice, ["verify", "points@1", *shelf]).exit_code == 1


@pytest.mark.anyio
async def test_a_service_serves_signed_models_only_and_says_so(store: Path, keys: Path) -> None:
    Store(store).set_alias("points", "default", 1)
    async with running(store, trusted_keys=keys / "mine.pem.pub", default_model="points") as service:
        told = (await service.http.get("/models")).json()
        assert [model["reference"] for model in told["models"]] == ["points@1"]
        assert [(each["name"], "not signed" in each["reason"]) for each in told["refused"]] == [("others", True)]
        assert_problem(await service.http.post("/sample?model=others"), 503, "model")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
