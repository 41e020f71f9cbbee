"""Ray Serve with its own batching: one replica, since every replica would compute on all cores.

python -m bench.peers.ray_app PORT
"""

import os
import signal
import sys

import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve
from ray.serve.config import HTTPOptions
from starlette.requests import Request

from bench.peers.shared_model import LARGEST_BATCH, PATIENCE, Model, decode

CORES = os.cpu_count() or 1


# Ray sets OMP_NUM_THREADS of an actor to its num_cpus, so the replica asks for all cores.
@serve.deployment(max_ongoing_requests=1024, ray_actor_options={"num_cpus": CORES})
class Score:
    """POST /: the log-likelihood of one picture; GET / answers once it is ready."""

    def __init__(self) -> None:
        self.model = Model()

    @serve.batch(max_batch_size=LARGEST_BATCH, batch_wait_timeout_s=PATIENCE)
    async def score(self, pixels: list[NDArray[np.uint8]]) -> list[float]:
        return self.model.log_likelihood(pixels)

    async def __call__(self, request: Request) -> dict[str, float]:
        if request.method == "GET":
            return {}
        return {"log_likelihood": await self.score(decode(await request.body()))}


def end(*_: object) -> None:
    """Stop the cluster that this script started."""
    serve.shutdown()
    ray.shutdown()
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    ray.init(num_cpus=CORES + 1, include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=int(sys.argv[1])))
    serve.run(Score.bind())  # type: ignore[attr-defined]  # from the decorator
    signal.pause()
