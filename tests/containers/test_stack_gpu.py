"""The CUDA image under the file that names a GPU, where there is one; and where there is none, as a hook pretends."""

from __future__ import annotations

import re
import shutil
import subprocess

import httpx
import pytest

from tests.containers.stack import GPU_FILES, METRICS_KEY, Container, Stack, eventually, run

pytestmark = [
    pytest.mark.skipif(
        shutil.which("nvidia-container-runtime-hook") is None, reason="the engine has no hook for NVIDIA's GPUs"
    ),
    pytest.mark.timeout(1200),
]


def has_gpu() -> bool:
    if shutil.which("nvidia-smi") is None:
        return False
    return b"GPU 0" in subprocess.run(["nvidia-smi", "-L"], capture_output=True).stdout


def devices_of(metrics: str) -> set[str]:
    """Where the served models compute."""
    return set(re.findall(r'sluice_model_info\{[^}]*\bdevice="([^"]*)"', metrics))


@pytest.mark.skipif(not has_gpu(), reason="there is no GPU")
def test_the_cuda_image_computes_on_the_gpu(cuda_image: str) -> None:
    stack = Stack("sluice-test-gpu", GPU_FILES)
    try:
        stack.up("sluice")
        answer = httpx.post(f"{stack.base}/sample", params={"n": 4, "seed": 1}, headers=stack.key(), timeout=60)
        assert answer.status_code == 200, answer.text
        metrics = httpx.get(f"{stack.base}/metrics", headers=stack.key(METRICS_KEY)).text
    finally:
        stack.down()
    assert devices_of(metrics) == {"cuda"}
    assert 'sluice_device_up{device="cuda:0"} 1.0' in metrics


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_gpu_the_cuda_image_says_so_and_does_not_start(cuda_image: str) -> None:
    stack = Stack("sluice-test-gpu", GPU_FILES)
    try:
        stack.compose("up", "--detach", "--no-build", "sluice")

        def refused() -> None:
            log = stack.compose("logs", "--no-color", "sluice")
            assert " CRITICAL supervisor: SLUICE_DEVICE=cuda: no NVIDIA driver is there (libcuda.so.1)." in log
            assert "Devices of this machine: cpu" in log

        eventually(refused, 120)

        def exited() -> None:  # Docker starts it again and again; meanwhile there is no exit code
            container = stack.container("sluice")
            assert run("docker", "inspect", "--format", "{{.State.ExitCode}}", container).strip() == "1"

        eventually(exited, 60)
    finally:
        stack.down()


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_the_cuda_image_alone_serves_on_the_cpu_where_no_gpu_is_asked_for(cuda_image: str) -> None:
    container = Container.start(cuda_image)
    try:
        eventually(lambda: _ready(container), 180)
        metrics = httpx.get(f"{container.base}/metrics", timeout=30).text
        assert devices_of(metrics) == {"cpu"}
        assert " WARNING supervisor: computing on the CPU: no NVIDIA driver is there" in container.log()
    finally:
        container.remove()


def _ready(container: Container) -> None:
    assert container.status("/health/ready") == 200
