"""The Kubernetes manifests as kubectl renders them: valid, confined, and about the service that there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli import main as sluice
from service.settings import Settings
from tests.service.helpers import running

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate comes with the extra dev")

ROOT = Path(__file__).parents[2] / "docker/kubernetes"
OVERLAYS = ("overlays/cpu", "overlays/gpu", "overlays/gpus")
FOLDERS = (*OVERLAYS, "monitoring", "autoscaling", "training", "kserve")
SCHEMA = "1.32"
"""The version of Kubernetes whose schemas are asked."""
CUSTOM = {"ServiceMonitor", "ScaledObject", "ServingRuntime", "InferenceService"}
"""Kinds of operators, whose schemas no package ships: what they refer to is checked below."""

Document = dict[str, Any]


def _kubectl() -> str | None:
    """kubectl, unless it is one of before 1.22, whose kustomize does not know `patches`."""
    found = shutil.which("kubectl")
    if found is None:
        return None
    told = subprocess.run([found, "version", "--client"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v1\.(\d+)", told)
    return found if version and int(version[1]) >= 22 else None


KUBECTL = _kubectl()
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl 1.22 or newer renders the manifests, and is not there")


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Document]]:
    """The documents of each folder."""
    found = {}
    for folder in FOLDERS:
        done = subprocess.run([str(KUBECTL), "kustomize", ROOT / folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{folder}: {done.stderr}"
        assert not done.stderr, f"{folder}: {done.stderr}"
        found[folder] = list(yaml.safe_load_all(done.stdout))
    return found


def of_kind(documents: list[Document], kind: str) -> Document:
    (found,) = (each for each in documents if each["kind"] == kind)
    return found


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """The pod specifications of all documents, with what they belong to."""
    for each in documents:
        if each["kind"] in ("Deployment", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]
        elif each["kind"] == "ServingRuntime":
            yield each["metadata"]["name"], each["spec"]


def containers(documents: list[Document]) -> Iterator[tuple[Document, Document]]:
    """Every container, with its pod."""
    for _, pod in pods(documents):
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            yield pod, container


@pytest.mark.parametrize("folder", FOLDERS)
def test_documents_fit_the_schemas_of_kubernetes(rendered: dict[str, list[Document]], folder: str) -> None:
    assert rendered[folder]
    for document in rendered[folder]:
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, SCHEMA, strict=True)
        wanted = "sluice-kserve" if folder == "kserve" else "sluice"
        found = document["metadata"]
        assert found["name" if document["kind"] == "Namespace" else "namespace"] == wanted


def test_a_runtime_of_kserve_has_its_namespace_and_its_port(rendered: dict[str, list[Document]]) -> None:
    assert of_kind(rendered["kserve"], "Namespace")
    ((_, container),) = containers(rendered["kserve"])
    assert {"name": "SLUICE_PORT", "value": "8000"} in container["env"], "a Service named sluice would set it to a URL"


def test_the_schemas_refuse_what_is_wrong(rendered: dict[str, list[Document]]) -> None:
    deployment = of_kind(rendered["overlays/cpu"], "Deployment")
    deployment = {**deployment, "spec": {**deployment["spec"], "replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, SCHEMA, strict=True)


@pytest.mark.parametrize("folder", [*OVERLAYS, "training", "kserve"])
def test_every_container_is_confined(rendered: dict[str, list[Document]], folder: str) -> None:
    found = list(containers(rendered[folder]))
    assert found
    for pod, container in found:
        confined = {**pod.get("securityContext", {}), **container["securityContext"]}
        assert confined["runAsNonRoot"] is True
        assert confined["runAsUser"] == 10001, "the user of the image"
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert confined["seccompProfile"] == {"type": "RuntimeDefault"}
        for resource in ("cpu", "memory"):
            assert container["resources"]["requests"][resource]
            assert container["resources"]["limits"][resource]
        assert re.fullmatch(r"registry\.example\.com/sluice:\d+\.\d+\.\d+-(cpu|cuda)", container["image"])
        for mount in container["volumeMounts"]:
            assert mount["name"] in {volume["name"] for volume in pod["volumes"]}
        for volume in pod["volumes"]:
            assert not {"hostPath", "nfs"} & set(volume)
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]
        assert not pod.get("hostNetwork")


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_service_drains_and_is_probed(rendered: dict[str, list[Document]], folder: str) -> None:
    deployment = of_kind(rendered[folder], "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    fields = {f"SLUICE_{name.upper()}" for name in Settings.model_fields}
    assert set(environment) <= fields, "settings that there are not"
    settings = Settings.model_validate({name[7:].lower(): value for name, value in environment.items()})
    assert settings.drain_delay + settings.deadline < pod["terminationGracePeriodSeconds"]
    probe = container["readinessProbe"]
    assert settings.drain_delay > probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
    assert {probe["httpGet"]["path"], container["startupProbe"]["httpGet"]["path"]} == {"/health/ready"}
    assert pod["enableServiceLinks"] is False
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {volumes[name]["secret"]["secretName"] for name in ("keys", "admin")} == {"sluice-keys", "sluice-admin"}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert any(str(settings.store_cache).startswith(mount) for mount in mounts)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_what_selects_pods_selects_those_of_the_deployment(rendered: dict[str, list[Document]], folder: str) -> None:
    documents = rendered[folder]
    template = of_kind(documents, "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    service = of_kind(documents, "Service")
    assert service["spec"]["selector"].items() <= labels
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    assert of_kind(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    policy = of_kind(documents, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert {port["port"] for port in policy["ingress"][0]["ports"]} <= ports
    (endpoint,) = (monitor := of_kind(rendered["monitoring"], "ServiceMonitor"))["spec"]["endpoints"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_gpus_are_asked_for_and_autoscalers_have_a_target(rendered: dict[str, list[Document]]) -> None:
    for folder, count in (("overlays/cpu", None), ("overlays/gpu", 1), ("overlays/gpus", 8)):
        deployment = of_kind(rendered[folder], "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"].get("nvidia.com/gpu") == count
        device = {each["name"]: each["value"] for each in container["env"]}["SLUICE_DEVICE"]
        assert (device, container["image"].rpartition("-")[2]) == (("cuda", "cuda") if count else ("cpu", "cpu"))
    for folder, kind in (("overlays/cpu", "HorizontalPodAutoscaler"), ("overlays/gpus", "ScaledObject")):
        deployment, scaler = of_kind(rendered[folder], "Deployment"), of_kind(rendered[folder], kind)
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
        assert "replicas" not in deployment["spec"], "which each rollout would set back"


@pytest.mark.anyio
async def test_the_autoscalers_query_names_metrics_of_the_service(
    rendered: dict[str, list[Document]], store: Path
) -> None:
    (trigger,) = of_kind(rendered["autoscaling"], "ScaledObject")["spec"]["triggers"]
    asked = set(re.findall(r"\bsluice_\w+", trigger["metadata"]["query"]))
    async with running(store) as service:
        await service.post_json("/sample?n=1&model=points", headers={"accept": "application/json"})
        told = (await service.http.get("/metrics")).text
    assert len(asked) == 2
    assert asked <= set(re.findall(r"^sluice_\w+", told, re.M))


def test_commands_are_those_that_there_are(rendered: dict[str, list[Document]]) -> None:
    (runtime,) = (container for _, container in containers(rendered["kserve"]))
    context = sluice.make_context("sluice", list(runtime["args"]))
    command = sluice.get_command(context, runtime["args"][0])
    assert command is not None
    command.make_context("serve", list(runtime["args"][1:]))
    train, publish = (container for _, container in containers(rendered["training"]))
    assert train["command"][0] == "sluice-train"
    assert {part for part in train["command"] if part.startswith("--")} <= _options_of_the_trainer()
    assert publish["command"][:2] == ["sluice", "pull"]
    assert publish["command"][2].startswith("/work/store/mnist/"), "where the trainer publishes"
    service = of_kind(rendered["kserve"], "InferenceService")["spec"]["predictor"]["model"]
    (format_,) = of_kind(rendered["kserve"], "ServingRuntime")["spec"]["supportedModelFormats"]
    assert service["modelFormat"]["name"] == format_["name"]
    assert service["runtime"] == of_kind(rendered["kserve"], "ServingRuntime")["metadata"]["name"]


def _options_of_the_trainer() -> set[str]:
    from trainer.commands.train import main

    return {name for parameter in main.params for name in parameter.opts}
