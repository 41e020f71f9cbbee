"""An unmodified Triton client of the package index: what its examples do, against a service of its own processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.service.helpers import DIGITS, images, npy, publish_calibrated, publish_small
from tests.service.servers import Server, serving
from tests.service.tables import ROWS, publish_homes

TOKEN = "correct horse battery staple, and more"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("triton") / "store"
    root.mkdir()
    publish_calibrated(root, "digits", DIGITS)
    publish_small(root, "points", (2,))
    publish_homes(root)
    return root


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Server]:
    token = store.parent / "token"
    token.write_text(TOKEN)
    with serving(store, store.parent / "log", admin_token_file=token, default_model="digits") as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address.removeprefix("http://"), concurrency=8) as made:
        yield made


def given(name: str, array: np.ndarray, datatype: str, binary: bool = True) -> Any:
    tensor = triton.InferInput(name, list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def scores(server: Server, count: int) -> list[float]:
    """Log-likelihoods by the route of their own."""
    answer = server.post("/score", content=npy(images(count)), headers={"content-type": "application/x-npy"})
    return [item["log_likelihood"] for item in answer.json()["items"]]


def test_the_server_lives_is_ready_and_tells_of_itself(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    told = client.get_server_metadata()
    assert told["name"] == "sluice"
    assert "binary_tensor_data" in told["extensions"]


def test_readiness_of_models_and_versions(client: Any) -> None:
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits.sample", "2")
    assert not client.is_model_ready("digits", "1")
    assert not client.is_model_ready("nobody")


def test_metadata_and_configuration_tell_the_same_tensors(client: Any) -> None:
    for entry in client.get_model_repository_index():
        assert entry["state"] == "READY"
        for version in ("", entry["version"]):
            metadata = client.get_model_metadata(entry["name"], version)
            config = client.get_model_config(entry["name"], version)
            assert metadata["name"] == config["name"] == entry["name"]
            assert metadata["versions"] == [entry["version"]]
            for told, configured in (("inputs", "input"), ("outputs", "output")):
                tensors = [
                    (each["name"], each["datatype"].replace("BYTES", "STRING"), each["shape"])
                    for each in metadata[told]
                ]
                dims = [
                    (each["name"], each["data_type"].removeprefix("TYPE_"), each["dims"]) for each in config[configured]
                ]
                assert tensors == dims != []


REQUIRED = {
    "digits": lambda: [given("items", images(3), "UINT8")],
    "digits.sample": list,
    "digits.inpaint": lambda: [given("image", images(1), "UINT8"), given("mask", np.ones((1, 8, 8), bool), "BOOL")],
    "digits.encode": lambda: [given("items", images(3), "UINT8")],
    "digits.decode": lambda: [given("latents", np.zeros((3, 64), np.float32), "FP32")],
    "points": lambda: [given("items", np.zeros((3, 2), np.float32), "FP32")],
    "points.sample": list,
    "points.inpaint": lambda: [given("image", np.array([[0, np.nan]], np.float32), "FP32")],
    "points.encode": lambda: [given("items", np.zeros((3, 2), np.float32), "FP32")],
    "points.decode": lambda: [given("latents", np.zeros((3, 2), np.float32), "FP32")],
}


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("binary", [True, False])
def test_every_function_answers_as_its_metadata_says(client: Any, name: str, binary: bool) -> None:
    metadata = client.get_model_metadata(name)
    wanted = [triton.InferRequestedOutput(each["name"], binary_data=binary) for each in metadata["outputs"]]
    found = client.infer(name, REQUIRED[name](), outputs=wanted, parameters={"steps": 2, "n": 2, "fdr": 0.1})
    optional = {each["name"] for each in client.get_model_config(name)["input"] if each["optional"]}
    assert {each["name"] for each in metadata["inputs"]} - optional == {
        tensor.name() for tensor in REQUIRED[name]()
    } - {"mask"}
    for told in metadata["outputs"]:
        output, array = found.get_output(told["name"]), found.as_numpy(told["name"])
        assert output["datatype"] == told["datatype"]
        assert len(array.shape) == len(told["shape"])
        assert all(extent in (-1, there) for extent, there in zip(told["shape"], array.shape, strict=True))


@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
def test_numbers_are_the_same_in_json_and_as_binary_data(
    client: Any, server: Server, binary_in: bool, binary_out: bool
) -> None:
    found = client.infer(
        "digits",
        [given("items", images(3), "UINT8", binary_in)],
        outputs=[triton.InferRequestedOutput("log_likelihood", binary_data=binary_out)],
        request_id="mine",
    )
    assert found.as_numpy("log_likelihood").tolist() == scores(server, 3)
    assert found.as_numpy("p_value") is None
    assert found.get_response()["id"] == "mine"


def test_without_outputs_the_usual_ones_come(client: Any) -> None:
    found = client.infer("digits", [given("items", images(3), "UINT8")])
    names = [output["name"] for output in found.get_response()["outputs"]]
    assert names == ["log_likelihood", "bits_per_dim", "p_value", "anomalous", "group_p_value"]
    assert found.as_numpy("anomalous").dtype == np.bool_


@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
@pytest.mark.parametrize("back", [None, "gzip", "deflate"])
def test_compression_both_ways(client: Any, server: Server, sent: str | None, back: str | None) -> None:
    found = client.infer(
        "digits",
        [given("items", images(200), "UINT8")],
        request_compression_algorithm=sent,
        response_compression_algorithm=back,
    )
    assert found.as_numpy("log_likelihood").tolist() == scores(server, 200)


def test_several_inputs_and_options_as_inputs(client: Any) -> None:
    inputs = [
        given("image", images(1), "UINT8"),
        given("mask", np.ones((1, 8, 8), bool), "BOOL", binary=False),
        given("n", np.array([3]), "INT64"),
        given("steps", np.array([2]), "INT64", binary=False),
        given("method", np.array([b"langevin"], dtype=np.object_), "BYTES"),
        given("seed", np.array([5]), "INT64"),
    ]
    first, again = (client.infer("digits.inpaint", inputs) for _ in range(2))
    assert first.as_numpy("items").shape == (3, 8, 8)
    assert (first.as_numpy("items") == again.as_numpy("items")).all()
    assert first.as_numpy("seed").tolist() == [5]


def test_short_floats(client: Any) -> None:
    points = np.random.default_rng(0).normal(size=(5, 2))
    for datatype, dtype in (("FP16", np.float16), ("BF16", ml_dtypes.bfloat16), ("FP64", np.float64)):
        short = points.astype(dtype)
        found = client.infer("points", [given("items", short, datatype)])
        expected = client.infer("points", [given("items", short.astype(np.float32), "FP32")])
        assert found.as_numpy("log_likelihood").tolist() == expected.as_numpy("log_likelihood").tolist()


def test_rows_of_a_table_as_bytes(client: Any) -> None:
    rows = np.array([b"[0.5, 1.5]", b"[0, -2]"], dtype=np.object_)
    expected = client.infer("points", [given("items", np.array([[0.5, 1.5], [0, -2]], np.float32), "FP32")])
    for binary in (True, False):
        found = client.infer("points", [given("items", rows, "BYTES", binary)])
        assert found.as_numpy("log_likelihood").tolist() == expected.as_numpy("log_likelihood").tolist()


def texts(cells: list[str]) -> np.ndarray:
    return np.array([[cell.encode()] for cell in cells], dtype=np.object_)


@pytest.mark.parametrize("binary", [True, False])
def test_columns_of_a_table_by_name(client: Any, server: Server, binary: bool) -> None:
    columns = [
        given("sold", texts([row["sold"] for row in ROWS]), "BYTES", binary),
        given("height", np.array([[row["height"]] for row in ROWS]), "FP64", binary),
        given("colour", texts([row["colour"] for row in ROWS]), "BYTES", binary),
        given("rooms", np.array([[row["rooms"]] for row in ROWS]), "INT64", binary),
    ]
    expected = server.post("/score?model=homes", json={"items": ROWS}).json()["items"]
    found = client.infer("homes", columns).as_numpy("log_likelihood")
    assert found.tolist() == [item["log_likelihood"] for item in expected]
    with pytest.raises(InferenceServerException, match="'rooms' is missing") as caught:
        client.infer("homes", columns[:3])
    assert caught.value.status() == "400"
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("colour", "rooms")]
    drawn = client.infer("homes.sample", [], outputs=wanted, parameters={"n": 4, "seed": 1})
    rows = server.post("/sample?model=homes&n=4&seed=1").json()["items"]
    words = [word.decode() if binary else word for word in drawn.as_numpy("colour").ravel()]
    assert words == [row["colour"] for row in rows]
    assert drawn.as_numpy("rooms").ravel().tolist() == [row["rooms"] for row in rows]


@pytest.mark.parametrize(("datatype", "dtype"), [("FP16", np.float16), ("BF16", ml_dtypes.bfloat16)])
def test_short_floats_come_back(client: Any, datatype: str, dtype: type) -> None:
    items = [given("items", images(3), "UINT8")]
    whole = client.infer("digits.encode", items).as_numpy("latents")
    found = client.infer("digits.encode", items, parameters={"float_datatype": datatype})
    assert found.get_output("latents")["datatype"] == datatype
    assert (found.as_numpy("latents") == whole.astype(dtype).astype(np.float32)).all()


def test_many_requests_at_once_get_their_own_answers(client: Any, server: Server) -> None:
    expected = scores(server, 32)
    asked = [
        client.async_infer("digits", [given("items", images(32)[place : place + 1], "UINT8")], request_id=str(place))
        for place in range(32)
    ]
    answers = [each.get_result() for each in asked]
    assert [answer.get_response()["id"] for answer in answers] == [str(place) for place in range(32)]
    assert [answer.as_numpy("log_likelihood")[0] for answer in answers] == pytest.approx(expected, rel=1e-6)


def test_versions(client: Any) -> None:
    inputs = [given("items", images(1), "UINT8")]
    assert client.infer("digits", inputs, model_version="2").get_response()["model_version"] == "2"
    with pytest.raises(InferenceServerException, match="not loaded"):
        client.infer("digits", inputs, model_version="1")


def test_a_timeout_is_a_deadline(client: Any) -> None:
    inputs = REQUIRED["digits.inpaint"]()
    with pytest.raises(InferenceServerException, match="deadline") as caught:
        client.infer("digits.inpaint", inputs, timeout=1000, parameters={"steps": 2000, "n": 64})
    assert caught.value.status() == "504"


def test_errors_say_what_is_wrong(client: Any) -> None:
    wrong: tuple[tuple[str, list[Any], str, str], ...] = (
        ("digits", [given("items", np.zeros((1, 9, 9), np.uint8), "UINT8")], "422", r"shape \[-1, 8, 8\]"),
        ("digits", [given("pixels", images(1), "UINT8")], "400", "no input 'pixels'"),
        ("digits", [], "400", "items is missing"),
        ("nobody", [], "404", "no such model"),
    )
    for name, inputs, status, message in wrong:
        with pytest.raises(InferenceServerException, match=message) as caught:
            client.infer(name, inputs)
        assert caught.value.status() == status
    for call in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        with pytest.raises(InferenceServerException, match="no such model"):
            call("nobody")
    with pytest.raises(InferenceServerException):
        client.get_system_shared_memory_status()
    assert client.is_server_live()


def test_statistics_count_what_was_done(client: Any) -> None:
    def counts() -> Any:
        (told,) = client.get_inference_statistics("digits.encode", "2")["model_stats"]
        return told

    before = counts()
    client.infer("digits.encode", [given("items", images(7), "UINT8")])
    with pytest.raises(InferenceServerException):
        client.infer("digits.encode", [])
    after = counts()
    assert (after["name"], after["version"]) == ("digits.encode", "2")
    assert after["inference_count"] - before["inference_count"] == 7
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["last_inference"] > 1.7e12
    for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        assert after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"] == 1
        assert after["inference_stats"][name]["ns"] > before["inference_stats"][name]["ns"]
    whole = client.get_inference_statistics()["model_stats"]
    assert [each["name"] for each in whole] == [each["name"] for each in client.get_model_repository_index()]


def test_only_the_administrator_loads_and_unloads(client: Any, store: Path) -> None:
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException) as caught:
            call("points")
        assert caught.value.status() == "401"
    client.unload_model("points", headers=ADMIN)
    assert not client.is_model_ready("points")
    assert "points" not in [entry["name"] for entry in client.get_model_repository_index()]
    client.load_model("points", headers=ADMIN)
    assert client.is_model_ready("points.sample")
    with pytest.raises(InferenceServerException) as caught:
        client.load_model("nobody", headers=ADMIN)
    assert caught.value.status() == "404"


def test_the_index_tells_what_was_refused(server: Server, client: Any, store: Path) -> None:
    publish_small(store, "points", (2,), seed=1)
    weights = store / "points" / "2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InferenceServerException, match="sha256"):
        client.load_model("points", headers=ADMIN)
    refused = [entry for entry in client.get_model_repository_index() if entry["state"] == "UNAVAILABLE"]
    assert [(entry["name"], entry["version"]) for entry in refused] == [("points", "2")]
    assert "sha256" in refused[0]["reason"]
    ready = httpx.post(f"{server.address}/v2/repository/index", json={"ready": True}).json()
    assert {entry["state"] for entry in ready} == {"READY"}
    assert httpx.post(f"{server.address}/v2/repository/index", json={"ready": "yes"}).status_code == 400
    assert httpx.post(f"{server.address}/v2/repository/index", content=b" " * 5000 + b"{}").status_code == 413


def test_what_a_successful_call_answers_is_exactly_200(server: Server) -> None:
    gets = ("/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/digits", "/v2/models/digits/ready")
    for path in (*gets, "/v2/models/digits/config", "/v2/models/digits/stats", "/v2/models/stats"):
        answer = httpx.get(f"{server.address}{path}", follow_redirects=False)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "application/json"
