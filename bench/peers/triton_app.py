"""Triton Inference Server with its dynamic batching, through PyTriton. Pixels come as binary tensors, not as PNG.

python -m bench.peers.triton_app PORT
"""

import signal
import socket
import sys

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from bench.peers.shared_model import LARGEST_BATCH, Model

model = Model()


@batch
def score(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Pixels (B, 28, 28) to log-likelihoods (B, 1)."""
    return {"log_likelihood": np.array(model.log_likelihood(pixels), dtype=np.float32)[:, None]}


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def end(*_: object) -> None:
    """Leave the block that runs the server, which stops it."""
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    config = TritonConfig(http_port=int(sys.argv[1]), grpc_port=free_port(), allow_metrics=False)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="nice",
            infer_func=score,
            inputs=[Tensor(name="pixels", dtype=np.uint8, shape=(28, 28))],
            outputs=[Tensor(name="log_likelihood", dtype=np.float32, shape=(1,))],
            # No delay: requests that arrive while the model computes form the next batch.
            config=ModelConfig(max_batch_size=LARGEST_BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()
