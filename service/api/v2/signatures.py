"""What each function of a model takes and gives, as tensors of the Open Inference Protocol v2.

A model is listed under its name, which scores, and once more for each other function: `mnist`, `mnist.sample`,
`mnist.inpaint`, `mnist.encode`, `mnist.decode`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from service.protocol.errors import Unknown
from service.protocol.messages import Kind
from service.protocol.model_info import Catalogue, ModelInfo, TestInfo

ANY = -1
"""An extent that the request decides."""
SCORE: Kind = "score"
OTHERS: tuple[Kind, ...] = ("sample", "inpaint", "encode", "decode")


class TensorInfo(NamedTuple):
    """One tensor of a function. ``shape`` holds ANY where the request decides."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    """Of an input: whether a request may leave it out. Of an output: whether it is sent only when it is asked for."""


class Signature(NamedTuple):
    """The tensors of a function."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(tensor.name for tensor in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(tensor.name for tensor in self.outputs)

    @property
    def usual_outputs(self) -> tuple[str, ...]:
        """What a request gets that chooses none."""
        return tuple(tensor.name for tensor in self.outputs if not tensor.optional)


class _Facts(NamedTuple):
    """What the tensors of a model depend on."""

    is_image: bool
    item_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    tests: tuple[TestInfo, ...]


class Called(NamedTuple):
    """A function of a served model, and the name that the client called it by."""

    model: ModelInfo
    kind: Kind
    name: str

    def signature(self) -> Signature:
        """Its tensors."""
        model = self.model
        return signature(self.kind, _Facts(model.is_image, model.item_shape, model.latent_shape, model.tests))

    @property
    def version(self) -> str:
        return str(self.model.version)


def name_of(model: str, kind: Kind) -> str:
    """The name under which a function of a model is listed."""
    return model if kind == SCORE else f"{model}.{kind}"


async def called(
    find: Callable[[str], Awaitable[ModelInfo]], catalogue: Catalogue, name: str, version: str | None
) -> Called:
    """The function that a path means. Raises Unknown or Unavailable.

    ``find`` is the service's way from a reference to a model. A model whose own name ends like a function comes first.
    """
    base, _, suffix = name.rpartition(".")
    kind = next((kind for kind in OTHERS if kind == suffix), SCORE)
    if kind == SCORE or not base or any(model.name == name for model in catalogue.models):
        base, kind = name, SCORE
    if "@" in base:
        raise Unknown("there is no such model; a version stands in the path: /v2/models/NAME/versions/VERSION", "model")
    return Called(await find(base if version is None else f"{base}@{version}"), kind, name)


def _option(name: str, datatype: str) -> TensorInfo:
    return TensorInfo(name, datatype, (1,), optional=True)


_SEED = _option("seed", "INT64")
_FIT = _option("fit", "BOOL")


def _items(model: _Facts, extent: int = ANY, name: str = "items") -> TensorInfo:
    return TensorInfo(name, "UINT8" if model.is_image else "FP32", (extent, *model.item_shape))


def _each(name: str, datatype: str = "FP32", *shape: int, optional: bool = False) -> TensorInfo:
    return TensorInfo(name, datatype, (ANY, *shape), optional)


def _score(model: _Facts) -> Signature:
    outputs = [_each("log_likelihood", "FP64")]
    if model.is_image:
        outputs.append(_each("bits_per_dim", "FP64"))
    if model.tests:
        outputs += [
            _each("p_value", "FP64"),
            _each("anomalous", "BOOL"),
            TensorInfo("group_p_value", "FP64", (1,)),
            _each("test_p_values", "FP64", len(model.tests), optional=True),
            _each("statistics", "FP64", sum(len(test.statistics) for test in model.tests), optional=True),
            _each("discovery", "BOOL", optional=True),
        ]
    options = (_SEED, _option("alpha", "FP64"), _option("fdr", "FP64"), _FIT)
    return Signature((_items(model), *options), tuple(outputs))


def _sample(model: _Facts) -> Signature:
    options = (_option("n", "INT64"), _SEED, _option("temperature", "FP64"))
    return Signature(options, (_items(model), TensorInfo("seed", "INT64", (1,))))


def _inpaint(model: _Facts) -> Signature:
    options = (
        TensorInfo("mask", "BOOL", (1, *model.item_shape), optional=True),
        _option("n", "INT64"),
        _option("steps", "INT64"),
        _option("method", "BYTES"),
        _option("step_size", "FP64"),
        _option("temperature", "FP64"),
        _SEED,
        _FIT,
    )
    outputs = (
        _items(model),
        _each("log_likelihood"),
        _each("log_likelihood_before"),
        _each("gradient_norm"),
        _each("acceptance"),
        _each("steps", "INT64"),
        _each("converged", "BOOL"),
        _each("draw", "INT64"),
        TensorInfo("seed", "INT64", (1,)),
    )
    return Signature((_items(model, 1, "image"), *options), outputs)


def _encode(model: _Facts) -> Signature:
    outputs = (_each("latents", "FP32", *model.latent_shape), _each("log_abs_det"))
    return Signature((_items(model), _SEED, _FIT), outputs)


def _decode(model: _Facts) -> Signature:
    inputs = (_each("latents", "FP32", *model.latent_shape),)
    return Signature(inputs, (_items(model), _each("log_abs_det")))


_MAKERS: Mapping[Kind, Callable[[_Facts], Signature]] = {
    "score": _score,
    "sample": _sample,
    "inpaint": _inpaint,
    "encode": _encode,
    "decode": _decode,
}


@lru_cache(maxsize=256)
def signature(kind: Kind, model: _Facts) -> Signature:
    """The tensors of a function of such a model."""
    return _MAKERS[kind](model)
