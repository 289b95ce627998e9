"""What a training run tells on its way, and the losses of its epochs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .distributed import Group


class Watch(TrainerCallback):  # type: ignore[misc]
    """Passes on what the loop logs."""

    def __init__(self, log: Callable[[Mapping[str, Any]], None], group: Group) -> None:
        self.tokens = 0
        self._log = log
        self._group = group
        self._total = 0
        self._seen = 0
        self.spent_s = 0.0
        self._started = 0.0

    def mean_speed(self) -> float | None:
        """Tokens a second, prompts included; None where no step was taken."""
        return self._total / self.spent_s if self.spent_s else None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock of a step."""
        self._started = time.perf_counter()
        self._seen = self.tokens

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell of a step, or of an evaluation."""
        entry = kwargs.get("logs", {})
        told = {"step": state.global_step, "total": state.max_steps, "epoch": entry.get("epoch")}
        if "loss" in entry:
            took = time.perf_counter() - self._started
            self.spent_s += took
            tokens = self._group.total(self.tokens - self._seen)
            self._total += tokens
            told |= {"loss": entry["loss"], "lr": entry["learning_rate"]}
            self._log({**told, "tokens_per_s": tokens / took})
        elif "eval_loss" in entry:
            self._log({**told, "val_loss": entry["eval_loss"]})


def by_epoch(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean training loss and the validation loss of each epoch; the latter None without one."""
    epochs: list[dict[str, Any]] = []
    steps: list[float] = []
    for entry in history:
        if "loss" in entry:
            steps.append(entry["loss"])
        elif "eval_loss" in entry:
            mean = sum(steps) / len(steps) if steps else None
            epochs.append(
                {"epoch": entry["epoch"], "train_loss": mean, "val_loss": entry["eval_loss"]}
            )
            steps = []
    if steps:
        mean = sum(steps) / len(steps)
        epochs.append({"epoch": history[-1].get("epoch"), "train_loss": mean, "val_loss": None})
    return epochs
