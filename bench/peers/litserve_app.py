"""LitServe with its own batching: one worker, since every worker would compute on all cores.

python -m bench.peers.litserve_app PORT
"""

# Without postponed annotations: LitServe passes those of decode_request to FastAPI.
import sys
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body
from numpy.typing import NDArray

from bench.peers.shared_model import LARGEST_BATCH, PATIENCE, Model, decode


class Score(litserve.LitAPI):
    """POST /predict: the log-likelihood of one picture."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature)
        self.model = Model()

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/png")]) -> NDArray[np.uint8]:
        return decode(request)

    def predict(self, batch: Any) -> list[float]:
        return self.model.log_likelihood(batch)

    def encode_response(self, output: float) -> dict[str, float]:
        return {"log_likelihood": output}


if __name__ == "__main__":
    api = Score(max_batch_size=LARGEST_BATCH, batch_timeout=PATIENCE)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
