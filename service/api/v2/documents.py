"""The JSON documents of the Open Inference Protocol v2, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Shape = Annotated[list[int], Meta(description="-1 where the request decides.")]


class ServerMetadata(Struct):
    """The server, and which extensions of the protocol it speaks."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Struct):
    """An input or an output of a model."""

    name: str
    datatype: str
    shape: Shape


class ModelMetadata(Struct):
    """A model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InputConfig(Struct):
    """An input; ``dims`` are its whole shape."""

    name: str
    data_type: str
    dims: list[int]
    optional: bool


class OutputConfig(Struct):
    """An output, likewise."""

    name: str
    data_type: str
    dims: list[int]


class ModelConfig(Struct):
    """The model configuration extension."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[InputConfig]
    output: list[OutputConfig]
    parameters: dict[str, dict[str, str]]


class Duration(Struct):
    """How often something happened, and how many nanoseconds it took in all."""

    count: int
    ns: int


class InferenceStatistics(Struct):
    """``queue`` and ``compute_infer`` are of all calls of the model, the others of calls under /v2."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class ModelStatistics(Struct):
    """The statistics extension, for one function of a model."""

    name: str
    version: str
    last_inference: Annotated[int, Meta(description="Milliseconds since 1970; 0 before the first.")]
    inference_count: Annotated[int, Meta(description="Items.")]
    execution_count: Annotated[int, Meta(description="Ticks of the device, each of one batch.")]
    inference_stats: InferenceStatistics
    batch_stats: list[Any] = []


class Statistics(Struct):
    """The answer of the statistics extension."""

    model_stats: list[ModelStatistics]


class IndexedModel(Struct):
    """An entry of the repository's index."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class ResponseTensor(Struct):
    """An output: its values stand under ``data``, or follow the head as binary data."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[Any] = []


class InferResponse(Struct):
    """The JSON head of an answer."""

    model_name: str
    model_version: str
    outputs: list[ResponseTensor]
    id: str = ""
