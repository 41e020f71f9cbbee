"""FastAPI as one would first write it: a handler in its thread pool and no batching.

python -m bench.peers.fastapi_plain PORT
"""

import sys
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI

from bench.peers.shared_model import Model, decode

model = Model()
app = FastAPI()


@app.get("/health")
def health() -> dict[str, str]:
    return {"state": "ready"}


@app.post("/score")
def score(png: Annotated[bytes, Body(media_type="image/png")]) -> dict[str, float]:
    return {"log_likelihood": model.log_likelihood([decode(png)])[0]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
