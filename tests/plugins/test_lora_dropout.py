"""Dropout as torch's has it, from fewer random bits."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch

from baft.testing import make_tiny_mistral
from baft_lora import loading
from baft_lora.dropout import Dropout
from baft_lora.options import Options


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_rest_scaled_up(p, dtype):
    torch.manual_seed(0)
    given = torch.ones(3, 333, 101, dtype=dtype, requires_grad=True)
    found = Dropout(p)(given)
    assert found.dtype == dtype
    share = (found == 0).float().mean().item()
    assert share == pytest.approx(p, abs=4 * (p * (1 - p) / given.numel()) ** 0.5)  # 4 sigma
    assert found.max().item() == pytest.approx(1 / (1 - p), rel=1e-2)
    assert sorted(found.unique().tolist())[0] == 0
    assert len(found.unique()) == 2
    found.sum().backward()
    assert torch.equal(given.grad, found)  # what was dropped learns nothing


def test_places_are_dropped_independently():
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(400_000)) > 0).float() * 2 - 1
    for distance in (1, 2, 3, 4, 8):
        assert abs((kept[distance:] * kept[:-distance]).mean().item()) < 0.01


def test_the_same_seed_drops_the_same():
    drop, given = Dropout(0.3), torch.randn(7, 9)
    torch.manual_seed(5)
    first = drop(given)
    assert not torch.equal(drop(given), first)
    torch.manual_seed(5)
    assert torch.equal(drop(given), first)


def test_nothing_and_everything():
    given = torch.randn(5, 3)
    assert torch.equal(Dropout(0.0)(given), given)
    assert torch.equal(Dropout(1.0)(given), torch.zeros(5, 3))
    assert torch.equal(Dropout(0.5).eval()(given), given)
    assert Dropout(0.5)(torch.ones(0, 4)).shape == (0, 4)


def test_adapters_drop_by_it(tmp_path):
    base = make_tiny_mistral(tmp_path / "tiny")
    model = loading.load_weights(base, dtype="float32", device="cpu")
    adapted = loading.adapt(model, Options(base_model=str(base), lora_dropout=0.2))
    found = [m for n, m in adapted.named_modules() if n.endswith("lora_dropout.default")]
    assert len(found) == 4 * model.config.num_hidden_layers
    assert all(type(m) is Dropout and m.p == 0.2 for m in found)
