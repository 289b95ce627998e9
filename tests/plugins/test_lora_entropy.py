"""Cross entropy by rows, beside torch's."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from torch.nn import functional

from baft_lora import entropy

FORMATS = [(torch.float32, 1e-6), (torch.bfloat16, 8e-3)]


def both(logits, targets, weights):
    """Losses and gradients, by torch and here."""
    for way in (
        lambda given: functional.cross_entropy(given.float(), targets, reduction="none"),
        lambda given: entropy.cross_entropy(given, targets),
    ):
        given = logits.detach().clone().requires_grad_()
        losses = way(given)
        (losses * weights).sum().backward()
        yield losses.detach(), given.grad


@pytest.mark.parametrize(("dtype", "near"), FORMATS)
@pytest.mark.parametrize("numbers", [1, 700, 1 << 20])
def test_it_is_torch_s_in_blocks_of_any_size(dtype, near, numbers, monkeypatch):
    monkeypatch.setattr(entropy, "NUMBERS", numbers)
    torch.manual_seed(0)
    logits, targets = 5 * torch.randn(37, 301).to(dtype), torch.randint(0, 301, (37,))
    (losses, slopes), (again, found) = both(logits, targets, torch.rand(37))
    assert again.dtype == torch.float32
    assert found.dtype == dtype
    assert torch.allclose(again, losses, rtol=1e-5, atol=1e-6)
    assert torch.allclose(found, slopes, rtol=near, atol=near * 1e-2)


def test_the_logits_stay_as_they_are():
    logits = torch.randn(3, 5, requires_grad=True)
    before = logits.detach().clone()
    entropy.cross_entropy(logits, torch.tensor([0, 4, 2])).sum().backward()
    assert torch.equal(logits.detach(), before)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_is_not_finite_is_seen_in_its_row_alone(value):
    logits = torch.randn(4, 6)
    logits[2, 3] = value
    found = entropy.cross_entropy(logits, torch.tensor([0, 1, 2, 3]))
    assert found.isfinite().tolist() == [True, True, False, True]


def test_huge_logits_are_no_trouble():
    found = entropy.cross_entropy(torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([0]))
    assert found.tolist() == [0.0]
