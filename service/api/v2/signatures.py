"""What each function of a model takes and gives, as tensors of the Open Inference Protocol v2.

A model is listed under its name, which scores, and once more for each other function: `mnist`, `mnist.sample`,
`mnist.inpaint`, `mnist.encode`, `mnist.decode`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from service.media.table_columns import is_whole
from service.protocol.errors import Unknown
from service.protocol.messages import Kind
from service.protocol.model_info import Catalogue, ModelInfo
from tables import CONTINUOUS, INTEGER, Column

ANY = -1
"""An extent that the request decides."""
SCORE: Kind = "score"
MAP = "map"
"""The output that tells where a picture is strange."""
OTHERS: tuple[Kind, ...] = ("sample", "inpaint", "encode", "decode")


class TensorInfo(NamedTuple):
    """One tensor of a function. ``shape`` holds ANY where the request decides."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    """Of an input: whether a request may leave it out. Of an output: whether it is sent only when it is asked for."""


_Tensors = tuple[TensorInfo, ...]


@dataclass(frozen=True)
class Signature:
    """The tensors of a function."""

    inputs: _Tensors
    input_columns: tuple[str, ...]
    """Inputs that are columns of a table, in the model's order: all of them may be sent in place of the items."""
    outputs: _Tensors
    output_columns: frozenset[str] = frozenset()
    """Outputs that are columns of the items."""

    @cached_property
    def input_names(self) -> dict[str, None]:
        return dict.fromkeys(tensor.name for tensor in self.inputs)

    @cached_property
    def output_names(self) -> dict[str, None]:
        return dict.fromkeys(tensor.name for tensor in self.outputs)

    @cached_property
    def usual_outputs(self) -> tuple[str, ...]:
        """What a request gets that chooses none."""
        return tuple(tensor.name for tensor in self.outputs if not tensor.optional)


class Called(NamedTuple):
    """A function of a served model, and the name that the client called it by."""

    model: ModelInfo
    kind: Kind
    name: str

    def signature(self) -> Signature:
        """Its tensors."""
        return _signature(self.kind, _Same(self.model))

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


def _items(
    model: ModelInfo,
    extent: int = ANY,
    name: str = "items",
    optional: bool = False,
    shape: tuple[int, ...] | None = None,
) -> TensorInfo:
    # The numbers of a table are those of its columns: a time in seconds needs more than float32.
    datatype = "UINT8" if model.is_image else "FP32" if model.table is None else "FP64"
    return TensorInfo(name, datatype, (extent, *(shape or model.item_shape)), optional)


def _each(name: str, datatype: str = "FP32", *shape: int, optional: bool = False) -> TensorInfo:
    return TensorInfo(name, datatype, (ANY, *shape), optional)


def _taking(
    model: ModelInfo, name: str, extent: int, options: _Tensors, shape: tuple[int, ...] | None = None
) -> tuple[_Tensors, tuple[str, ...]]:
    """The inputs of a function of items: these under ``name``, or as columns by name, and the options.

    A column that is named like an option takes its place; the option then is a parameter only. No column can be sent
    that is named like the items or the mask, nor then the others.
    """
    columns = _columns(model, extent)
    if any(column.name in (name, "mask") for column in columns):
        columns = ()
    names = tuple(column.name for column in columns)
    rest = tuple(option for option in options if option.name not in names)
    return (_items(model, extent, name, bool(columns), shape), *columns, *rest), names


def _giving(model: ModelInfo, others: _Tensors) -> tuple[_Tensors, frozenset[str]]:
    """The outputs of a function of which items come: these, and on request their columns by name."""
    taken = {"items", *(tensor.name for tensor in others)}
    columns = tuple(column for column in _columns(model, ANY) if column.name not in taken)
    return (_items(model), *others, *columns), frozenset(column.name for column in columns)


def _columns(model: ModelInfo, extent: int) -> _Tensors:
    columns = () if model.table is None else model.table.columns
    return tuple(TensorInfo(column.name, _datatype(column), (extent, 1), optional=True) for column in columns)


def _datatype(column: Column) -> str:
    if is_whole(column):
        return "INT64"
    return "FP64" if column.kind in (CONTINUOUS, INTEGER) else "BYTES"


def _score(model: ModelInfo) -> Signature:
    options = (_SEED, _option("alpha", "FP64"), _option("fdr", "FP64"), _FIT)
    return Signature(*_taking(model, "items", ANY, options, model.judged_shape), tuple(_scores(model)))


def _scores(model: ModelInfo) -> Iterator[TensorInfo]:
    yield _each("log_likelihood", "FP64")
    if model.is_image:
        yield _each("bits_per_dim", "FP64")
    if model.tests:
        yield _each("p_value", "FP64")
        yield _each("anomalous", "BOOL")
        yield TensorInfo("group_p_value", "FP64", (1,))
        yield _each("test_p_values", "FP64", len(model.tests), optional=True)
        yield _each("statistics", "FP64", sum(len(test.statistics) for test in model.tests), optional=True)
        yield _each("discovery", "BOOL", optional=True)
    if model.map is not None:
        yield _each(MAP, "FP32", *model.judged_shape[:2], optional=True)


def _sample(model: ModelInfo) -> Signature:
    options = (_option("n", "INT64"), _SEED, _option("temperature", "FP64"))
    return Signature(options, (), *_giving(model, (TensorInfo("seed", "INT64", (1,)),)))


def _inpaint(model: ModelInfo) -> Signature:
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
    others = (
        _each("log_likelihood"),
        _each("log_likelihood_before"),
        _each("gradient_norm"),
        _each("acceptance"),
        _each("steps", "INT64"),
        _each("converged", "BOOL"),
        _each("draw", "INT64"),
        TensorInfo("seed", "INT64", (1,)),
    )
    return Signature(*_taking(model, "image", 1, options), *_giving(model, others))


def _encode(model: ModelInfo) -> Signature:
    outputs = (_each("latents", "FP32", *model.latent_shape), _each("log_abs_det"))
    return Signature(*_taking(model, "items", ANY, (_SEED, _FIT)), outputs)


def _decode(model: ModelInfo) -> Signature:
    inputs = (_each("latents", "FP32", *model.latent_shape),)
    return Signature(inputs, (), *_giving(model, (_each("log_abs_det"),)))


_MAKERS: Mapping[Kind, Callable[[ModelInfo], Signature]] = {
    "score": _score,
    "sample": _sample,
    "inpaint": _inpaint,
    "encode": _encode,
    "decode": _decode,
}


class _Same:
    """A model as a key of a cache, by identity: comparing all that is known of it would take longer than the answer."""

    __slots__ = ("model",)

    def __init__(self, model: ModelInfo) -> None:
        self.model = model

    def __hash__(self) -> int:
        return id(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.model is self.model


@lru_cache(maxsize=256)
def _signature(kind: Kind, model: _Same) -> Signature:
    return _MAKERS[kind](model.model)
