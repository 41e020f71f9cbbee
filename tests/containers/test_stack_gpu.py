"""The CUDA image under the file that reserves a GPU. Where there is no GPU, a hook that gives none will do."""

from __future__ import annotations

import shutil

import httpx
import pytest

from tests.containers.stack import GPU_FILES, METRICS_KEY, Stack

pytestmark = pytest.mark.skipif(
    shutil.which("nvidia-container-runtime-hook") is None, reason="the engine has no hook for NVIDIA's GPUs"
)


@pytest.mark.timeout(1200)
def test_the_cuda_image_serves_with_and_without_a_gpu_behind_the_reservation(cuda_image: str) -> None:
    stack = Stack("sluice-test-gpu", GPU_FILES)
    try:
        stack.up("sluice")
        answer = httpx.post(f"{stack.base}/sample", params={"n": 4, "seed": 1}, headers=stack.key(), timeout=60)
        assert answer.status_code == 200, answer.text
        metrics = httpx.get(f"{stack.base}/metrics", headers=stack.key(METRICS_KEY)).text
    finally:
        stack.down()
    assert 'device="c' in metrics
