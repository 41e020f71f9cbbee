"""How many rows a batch needs on a CPU: tried when a model is loaded, and what programs make of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

import flows
from flows.inpainting import METHODS
from model_store import LoadedModel, Publication, Store, publish
from model_store.least_rows import LeastRows
from service.device.columns import Columns
from service.device.company import with_least_rows
from service.device.programs import Decode, Encode, Inpaint, Sample, Score
from service.device.threads import computing_in
from tests.service.helpers import Start, publish_small

ARGUMENTS: dict[str, Any] = {"width": 24, "blocks": 1, "components": 3, "joint": True, "head_layers": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pixels`, a lattice flow of pictures in colour, and flows of other kinds."""
    root = tmp_path_factory.mktemp("company")
    torch.manual_seed(0)
    flow = flows.lattice((32, 32, 3), **ARGUMENTS).requires_grad_(False)
    for name, parameter in flow.named_parameters():
        if ".last." in name:
            parameter.add_(0.1 * torch.randn_like(parameter))
    golden = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    publish(root, "pixels", Publication(flow=flow, architecture="lattice", arguments=ARGUMENTS, golden_items=golden))
    publish_small(root, "dense", (8, 8))
    publish_small(root, "points", (2,))
    return root


def loaded(store: Path, name: str) -> LoadedModel:
    return with_least_rows(Store(store).load(name, 1), threads=2)


def test_a_lattice_flow_is_tried_in_float32_too(store: Path) -> None:
    least = loaded(store, "pixels").least_rows
    assert least is not None
    assert least.encoding in (1, 2, 4, 8)
    assert least[1:] == (8, 16), "what draws is not tried in float32"


@pytest.mark.parametrize("name", ["dense", "points"])
def test_dense_nets_of_float32_keep_the_usual_numbers(store: Path, name: str) -> None:
    assert loaded(store, name).least_rows is None


def test_each_kind_of_work_takes_the_number_that_it_needs(store: Path) -> None:
    model = loaded(store, "pixels")
    object.__setattr__(model, "least_rows", LeastRows(encoding=1, drawing=8, decoding=16))
    found = {type(program).__name__: program.rows_multiple for program in (Score(model), Encode(model), Sample(model))}
    assert found == {"Score": 1, "Encode": 1, "Sample": 16}
    assert Decode(model).rows_multiple == 16
    by_method = {method: Inpaint(model, method).rows_multiple for method in METHODS}
    assert by_method == {"ascent": 1, "nice": 1, "map": 1, "langevin": 8, "latent": 16}


def test_larger_pictures_are_alone_in_one_thread_where_they_would_need_company(store: Path) -> None:
    model = loaded(store, "pixels")
    for encoding, alone in ((1, False), (8, True)):
        object.__setattr__(model, "least_rows", LeastRows(encoding=encoding, drawing=8, decoding=16))
        assert Inpaint(model, "ascent").alone == alone
        assert Inpaint(model, "langevin").alone
        assert Sample(model).alone
        assert not Score(model).alone


def test_an_answer_has_the_same_bits_in_any_company_and_number_of_threads(store: Path) -> None:
    model = loaded(store, "pixels")
    items = torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    score, encode, seeds = Score(model), Encode(model), torch.arange(16)
    found = []
    for threads in (1, 2):
        for rows in (score.rows_multiple, 8, 16):
            with computing_in(threads), torch.inference_mode():
                batches = [Columns({"items": items, "seed": seeds}).rows(i, i + rows) for i in range(0, 16, rows)]
                scored = [score.compute(batch)["log_likelihood"] for batch in batches]
                latents = [encode.compute(batch)["latents"] for batch in batches]
            found.append((torch.cat(scored), torch.cat(latents)))
    for again in found[1:]:
        assert all(map(torch.equal, again, found[0]))


@pytest.mark.anyio
async def test_a_picture_gets_the_same_score_alone_and_beside_others(start: Start, store: Path) -> None:
    items = torch.randint(0, 256, (5, 32, 32, 3), generator=torch.Generator().manual_seed(1)).tolist()
    async with start(store, default_model="pixels") as service:
        scored = await service.post_json("/score?seed=5", json={"items": items})
        alone = await asyncio.gather(*(service.post_json("/score?seed=5", json={"items": [item]}) for item in items))
    assert [each["items"][0] for each in alone] == scored["items"]
