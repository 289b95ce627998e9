"""Muon for the matrices and AdamW for the rest, with fp32 masters of bf16 weights.

Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/ (the quintic of its
Newton-Schulz iteration is copied from there).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalize(update: Tensor, steps: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrix, roughly; ``update`` is (rows, columns)."""
    a, b, c = QUINTIC
    wide = update.shape[0] <= update.shape[1]
    x = (update if wide else update.T).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x if wide else x.T
    return x.float() * max(1.0, update.shape[0] / update.shape[1]) ** 0.5


class Optimizer:
    """One step for all parameters of a model; ``rate`` scales both learning rates."""

    def __init__(self, model: nn.Module, muon_lr: float = 0.012, adam_lr: float = 0.002) -> None:
        self.parameters = dict(model.named_parameters())
        self.muon_lr, self.adam_lr = muon_lr, adam_lr
        self.masters = {n: p.detach().float().clone() for n, p in self.parameters.items()}
        self.first = {n: torch.zeros_like(m) for n, m in self.masters.items()}
        self.second = {n: torch.zeros_like(m) for n, m in self.masters.items() if not is_matrix(n)}
        self.steps = 0

    @torch.no_grad()
    def step(self, rate: float, scale: float) -> None:
        """Use the gradients times ``scale``, then clear them."""
        self.steps += 1
        for name, parameter in self.parameters.items():
            assert parameter.grad is not None
            gradient = parameter.grad.float() * scale
            if is_matrix(name):
                self._muon(name, gradient, rate * self.muon_lr)
            else:
                self._adam(name, gradient, rate * self.adam_lr)
            parameter.copy_(self.masters[name])
            parameter.grad = None

    def _muon(self, name: str, gradient: Tensor, lr: float) -> None:
        momentum = self.first[name].mul_(0.95).add_(gradient)
        update = orthogonalize(gradient + 0.95 * momentum)
        self.masters[name].mul_(1 - 0.01 * lr).add_(update, alpha=-lr)

    def _adam(self, name: str, gradient: Tensor, lr: float) -> None:
        first = self.first[name].mul_(0.9).add_(gradient, alpha=0.1)
        second = self.second[name].mul_(0.97).addcmul_(gradient, gradient, value=0.03)
        top = first / (1 - 0.9**self.steps)
        bottom = (second / (1 - 0.97**self.steps)).sqrt() + 1e-8
        self.masters[name].addcdiv_(top, bottom, value=-lr)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        tables = {"masters": self.masters, "first": self.first, "second": self.second}
        return {**tables, "steps": self.steps}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Take over a saved state and put the weights into the model."""
        self.masters, self.first = state["masters"], state["first"]
        self.second, self.steps = state["second"], state["steps"]
        for name, parameter in self.parameters.items():
            parameter.copy_(self.masters[name])


def is_matrix(name: str) -> bool:
    """Whether Muon rather than AdamW moves this parameter."""
    return "proj" in name
