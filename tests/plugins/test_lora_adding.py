"""What an adapter adds, beside PEFT's own way."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from torch import nn

from baft.testing import make_tiny_mistral
from baft_lora import adding, loading
from baft_lora.options import Options


def dropped(p, count=400_000):
    """Which of so many ones an adapter does not see."""
    mask = adding._mask(torch.ones(count), p)
    assert set(mask.unique().tolist()) <= {0, -1}
    return mask == 0


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_a_share_is_dropped(p):
    torch.manual_seed(0)
    share = dropped(p).float().mean().item()
    assert share == pytest.approx(p, abs=4 * (p * (1 - p) / 400_000) ** 0.5)  # 4 sigma


def test_places_are_dropped_independently():
    torch.manual_seed(1)
    sign = dropped(0.5).float() * 2 - 1
    for distance in (1, 2, 3, 4, 8):
        assert abs((sign[distance:] * sign[:-distance]).mean().item()) < 0.01


def test_the_same_seed_drops_the_same():
    torch.manual_seed(5)
    first = dropped(0.3)
    assert not torch.equal(dropped(0.3), first)
    torch.manual_seed(5)
    assert torch.equal(dropped(0.3), first)


def test_nothing_and_everything():
    assert dropped(1.0).all()
    assert adding._mask(torch.ones(0, 4), 0.5).shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_it_is_the_formula_with_the_gradients_of_autograd(dtype, p):
    torch.manual_seed(0)
    given = [torch.randn(2, 7, 6), torch.randn(2, 7, 5), torch.randn(3, 5), torch.randn(6, 3)]
    base, x, down, up = (tensor.to(dtype).requires_grad_() for tensor in given)
    torch.manual_seed(9)
    found = adding.added(base, x, down, up, scale=2.0, dropout=p)
    assert found.dtype == dtype
    torch.manual_seed(9)
    kept = (adding._mask(torch.ones(14, 5), p).view(2, 7, 5) != 0).to(dtype) if p else 1
    seen = x * kept / (1 - p) if p < 1 else x * 0
    exact = base + 2.0 * seen @ down.T @ up.T
    toward = torch.randn(2, 7, 6).to(dtype)
    near = 0.1 if dtype == torch.bfloat16 else 1e-5
    assert torch.allclose(found, exact, rtol=near, atol=near)
    for tensor, slope in zip(
        (base, x, down, up), torch.autograd.grad(exact, (base, x, down, up), toward), strict=True
    ):
        (again,) = torch.autograd.grad(found, tensor, toward, retain_graph=True)
        assert again.dtype == dtype
        assert torch.allclose(again, slope, rtol=near, atol=3 * near)


def adapted(tmp_path, **options):
    base = make_tiny_mistral(tmp_path / "tiny")
    model = loading.load_weights(base, dtype="float32", device="cpu")
    torch.manual_seed(0)
    model = loading.adapt(model, Options(base_model=str(base), **options))
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero at first
            nn.init.normal_(weight, std=0.1)
    return model


IDS = torch.arange(3, 40)[None]


def by_peft(model):
    """The same adapter, each layer computed by PEFT."""
    for module in model.modules():
        vars(module).pop("forward", None)
    return model


def test_an_adapted_model_says_the_same_as_by_peft(tmp_path):
    model = adapted(tmp_path, lora_dropout=0.1).eval()
    patched = [module for module in model.modules() if "forward" in vars(module)]
    assert len(patched) == 4 * model.config.num_hidden_layers
    quick = model(IDS).logits
    with model.disable_adapter():
        bare = model(IDS).logits
    slow = by_peft(model)(IDS).logits
    assert torch.allclose(quick, slow, atol=1e-5)
    assert not torch.allclose(quick, bare, atol=1e-3)


def test_a_merged_adapter_is_not_added_twice(tmp_path):
    model = adapted(tmp_path).eval()
    before = model(IDS).logits
    model.merge_adapter()
    assert torch.allclose(model(IDS).logits, before, atol=1e-5)
    model.unmerge_adapter()
    assert torch.allclose(model(IDS).logits, before, atol=1e-5)


def test_dropout_is_for_training_alone(tmp_path):
    model = adapted(tmp_path, lora_dropout=0.5)
    still = [model.eval()(IDS).logits for _ in range(2)]
    moved = [model.train()(IDS).logits for _ in range(2)]
    assert torch.equal(*still)
    assert not torch.allclose(*moved, atol=1e-4)
