"""BentoML with adaptive batching: one service with one worker, since every worker would compute on all cores.

    python -m bench.peers.bentoml_service PORT

A batchable endpoint takes a list, so a client sends its picture as a list of one, in a multipart form.
"""

# Without postponed annotations: BentoML reads them to make its schemas.
import os
import sys

import bentoml
import numpy as np
from PIL.Image import Image

from bench.peers.shared_model import LARGEST_BATCH, Model


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 1024})
class Score:
    """POST /score: log-likelihoods of pictures."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=LARGEST_BATCH, max_latency_ms=10_000)
    def score(self, pictures: list[Image]) -> list[float]:
        return self.model.log_likelihood([np.asarray(picture) for picture in pictures])


if __name__ == "__main__":
    command = ["bentoml", "serve", "bench.peers.bentoml_service:Score", "--port", sys.argv[1]]
    os.execvp(command[0], command)
