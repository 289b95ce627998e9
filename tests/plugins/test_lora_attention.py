"""Attention by blocks, beside torch's kernel on one example at a time."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from torch.nn import functional

from baft_lora.attention import SMALL, attend, keeps_weights, kept_weights


def one_at_a_time(query, key, value, sizes):
    """Each example with the common beginning before it, in its full length."""
    first, groups, found = sizes[0], query.shape[1] // key.shape[1], []
    starts = [sum(sizes[:n]) for n in range(1, len(sizes) + 1)]
    for number, (start, end) in enumerate(pairwise(starts)):
        places = [*range(first), *range(start, end)]
        q, k, v = (heads[:, :, places] for heads in (query, key, value))
        k, v = (heads.repeat_interleave(groups, dim=1) for heads in (k, v))
        whole = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        found.append(whole if not number else whole[:, :, first:])
    return torch.cat(found, dim=2).transpose(1, 2)


@pytest.mark.parametrize("heads", [4, 3, 132])  # in blocks; 132 of 16 by torch's kernel
@pytest.mark.parametrize("sizes", [(50, 230, 97, 1), (0, 200), (130, 5, 96), (1, 96), (300, 2)])
@pytest.mark.parametrize("by_group", [2, 1])
def test_each_own_part_sees_the_beginning_and_itself(sizes, heads, by_group):
    torch.manual_seed(0)
    groups = heads // by_group if heads % by_group == 0 else 1
    assert keeps_weights("cpu", heads * 16) == (heads < 132)
    shapes = [(1, n, sum(sizes), 16) for n in (heads, groups, groups)]
    given = [torch.randn(shape).requires_grad_() for shape in shapes]
    weight = torch.randn(1, sum(sizes), heads, 16)
    expected = one_at_a_time(*given, sizes)
    found, _ = attend(None, *given, None, sizes=sizes)
    assert torch.allclose(found, expected, atol=1e-5)
    wanted = torch.autograd.grad((expected * weight).sum(), given)
    for gradient, other in zip(
        torch.autograd.grad((found * weight).sum(), given), wanted, strict=True
    ):
        assert torch.allclose(gradient, other, atol=1e-4)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(1)
    given = [torch.randn(1, n, 7, 4).requires_grad_() for n in (4, 2, 2)]
    found, _ = attend(None, *given, None, sizes=(3, 2, 2), scaling=0.7)
    weight = torch.randn_like(found)
    (found * weight).sum().backward()
    for tensor in given:
        step = torch.randn_like(tensor)
        ends = [tensor.detach() + sign * 1e-2 * step for sign in (1, -1)]
        sums = [
            (attend(None, *(end if t is tensor else t for t in given), None, sizes=(3, 2, 2),
                    scaling=0.7)[0] * weight).sum()
            for end in ends
        ]  # fmt: skip
        slope = (sums[0] - sums[1]).item() / 2e-2
        assert slope == pytest.approx((tensor.grad * step).sum().item(), rel=2e-2, abs=2e-2)


def test_in_bf16_it_is_as_near_as_torch_s_kernel():
    torch.manual_seed(2)
    given = [torch.randn(1, n, 130, 16) for n in (4, 2, 2)]
    exact = one_at_a_time(*given, (30, 100))
    halves = [heads.bfloat16() for heads in given]
    found, _ = attend(None, *halves, None, sizes=(30, 100))
    assert found.dtype == torch.bfloat16
    plainly = one_at_a_time(*halves, (30, 100))
    assert (found - exact).norm() < 1.1 * (plainly - exact).norm()


def test_dropped_attention_is_torch_s():
    given = [torch.randn(1, 2, 30, 8) for _ in range(3)]
    torch.manual_seed(3)
    found, _ = attend(None, *given, None, sizes=(0, 30), dropout=0.5)
    assert not torch.allclose(found, attend(None, *given, None, sizes=(0, 30))[0])


def test_large_models_keep_no_weights():
    assert keeps_weights("cpu", SMALL)
    assert not keeps_weights("cpu", SMALL + 1)
    assert not keeps_weights("cuda", 256)
    assert kept_weights(96) == 96
    assert kept_weights(192) == (96 + 192) / 2
