"""What publishing measures of nets of bfloat16, and which precision a loaded model then serves in."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable

import pytest
import torch

import flows
from model_store import Published, Store, measure_bfloat16, serving
from model_store.manifest import Bfloat16Note
from tests.conftest import Digits
from tests.flows.cases import disturb

Publish = Callable[..., Published]


def note(bits_per_dim: float, worst: float = 1.0, noise: float = 0.01) -> Bfloat16Note:
    return Bfloat16Note(items=10, mean=0.0, std=0.1, worst=worst, bits_per_dim=bits_per_dim, noise=noise)


def test_the_note_states_how_bfloat16_nets_change_the_log_likelihoods(digits: Digits) -> None:
    torch.manual_seed(0)
    flow = disturb(flows.nice((28, 28), hidden=[24])).requires_grad_(False)
    found = measure_bfloat16(flow, digits.test[:50])
    x = flow.to_continuous(digits.test[:50])
    difference = (serving(flow, note(0)).log_prob(x) - flow.log_prob(x)).double()
    assert found.items == 50
    assert found.worst == pytest.approx(float(difference.abs().max()))
    assert found.mean == pytest.approx(float(difference.mean()))
    assert found.bits_per_dim == pytest.approx(abs(found.mean) / (784 * 0.693147), rel=1e-5)
    assert found.noise == pytest.approx(float(difference.std() / flow.log_prob(x).std()), rel=0.05)


@pytest.mark.parametrize(
    ("bits_per_dim", "noise", "precision"),
    [(9e-4, 0.04, "bfloat16"), (1e-3, 0.04, "float32"), (0.5, 0.0, "float32"), (0.0, 0.05, "float32")],
)
def test_nets_of_bfloat16_serve_where_their_change_is_harmless(
    publish_digits: Publish, store: Store, bits_per_dim: float, noise: float, precision: str
) -> None:
    publish_digits(bfloat16=note(bits_per_dim, noise=noise))
    loaded = store.load("digits", 1, bfloat16=True)
    assert loaded.precision == precision
    assert (loaded.serving is loaded.flow) == (precision == "float32")
    assert store.load("digits", 1).precision == "float32", "bfloat16 was not asked for"


def test_a_flow_that_is_loaded_in_inference_mode_still_gives_gradients(
    publish_digits: Publish, store: Store, digits: Digits
) -> None:
    publish_digits(bfloat16=note(0.0))
    with torch.inference_mode():
        flow = store.load("digits", 1, bfloat16=True).flow
    x = flow.to_continuous(digits.test[:2]).requires_grad_()
    (gradient,) = torch.autograd.grad(flow.log_prob(x).sum(), x)
    assert bool(gradient.isfinite().all())


def test_a_version_without_the_note_serves_in_float32(publish_digits: Publish, store: Store) -> None:
    path = publish_digits().path / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["bfloat16"]  # as in versions that were published before it existed
    path.write_text(json.dumps(manifest))
    assert store.load("digits", 1, bfloat16=True).precision == "float32"


def test_nets_of_bfloat16_that_fail_their_self_test_leave_float32_to_serve(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_digits(bfloat16=note(1e-5, worst=1e-3))
    assert store.load("digits", 1, bfloat16=True).fallback is None
    assert store.verify("digits", 1)[-1].startswith("nets of bfloat16 pass their own self-test")

    def worse(flow: flows.Flow) -> flows.Flow:
        torch.manual_seed(0)
        return disturb(flows.nice((28, 28), hidden=[24], couplings=2)).requires_grad_(False)

    monkeypatch.setattr("model_store.precision.with_bfloat16_nets", worse)
    loaded = store.load("digits", 1, bfloat16=True)
    assert loaded.serving is loaded.flow
    assert loaded.precision == "float32"
    assert loaded.fallback is not None
    assert loaded.fallback.startswith("with nets of bfloat16 the golden log-likelihood is off by ")
    assert loaded.fallback in store.verify("digits", 1)[-1]
    assert store.load("digits", 1).fallback is None, "bfloat16 was not asked for"


def test_nets_of_bfloat16_that_answer_nan_leave_float32_to_serve(
    publish_digits: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_digits(bfloat16=note(1e-5))

    def broken(flow: flows.Flow) -> flows.Flow:
        spoilt = copy.deepcopy(flow)
        for parameter in spoilt.parameters():
            parameter.fill_(math.nan)
        return spoilt

    monkeypatch.setattr("model_store.precision.with_bfloat16_nets", broken)
    loaded = store.load("digits", 1, bfloat16=True)
    assert loaded.precision == "float32"
    assert loaded.fallback is not None
    assert "nan" in loaded.fallback
