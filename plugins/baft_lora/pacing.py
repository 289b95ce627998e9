"""How long a run will take: one batch is measured on the model itself, which stays as it was."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import baft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .lessons import Lesson


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What one measured batch says of the whole run."""

    batch_tokens: int
    forward_s: float
    backward_s: float
    steps: int
    step_s: float
    """Of an optimizer step, on average."""
    total_s: float
    """All steps that are to come, and their validations."""

    def shared(self, processes: int) -> Pace:
        """The pace of so many processes, each on a core of its own."""
        return replace(self, step_s=self.step_s / processes, total_s=self.total_s / processes)

    def __str__(self) -> str:
        batch_s = self.forward_s + self.backward_s
        return (
            f"time: {self.batch_tokens} tokens took {_span(batch_s)}, so a step takes "
            f"about {_span(self.step_s)}, and the {self.steps} to come with validation about "
            f"{_span(self.total_s)}"
        )


def measure(trainer: Any, rows: Sequence[Lesson]) -> tuple[float, float]:
    """Seconds of one batch forward and backward; weights, gradients and chance stay as they were.

    Raises:
        UsageError: the GPU's memory does not hold it.
        DataError: the loss is not finite.
    """
    import torch

    model = trainer.model
    if trainer.args.gradient_checkpointing:  # as the loop itself will
        model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    on_gpu = [trainer.args.device] if trainer.args.device.type == "cuda" else []

    def now() -> float:
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    with torch.random.fork_rng(devices=on_gpu):
        try:
            model.train()
            started = now()
            inputs = trainer._prepare_inputs(trainer.data_collator(list(rows)))
            loss = trainer.compute_loss(model, inputs)
            halfway = now()
            loss.backward()
            return halfway - started, now() - halfway
        except torch.OutOfMemoryError as error:
            raise baft.UsageError(
                f"The memory of the GPU does not hold {len(rows)} examples of up to "
                f"{max(len(row.ids) for row in rows)} tokens.",
                "Use --quantization bnb4, a smaller --batch-size, or a smaller base model.",
            ) from error
        finally:
            model.zero_grad(set_to_none=True)


def pace(
    measured: tuple[float, float],
    *,
    batch_tokens: int,
    train_tokens: int,
    val_tokens: int,
    by_epoch: int,
    steps: int,
    processes: int = 1,
) -> Pace:
    """The run's time from one batch's, by the tokens that are computed.

    Args:
        measured: seconds of a batch forward and backward.
        batch_tokens: of that batch.
        train_tokens: of an epoch.
        val_tokens: of a validation.
        by_epoch: optimizer steps of an epoch.
        steps: those that are to come.
        processes: that share the work.

    >>> found = pace(
    ...     (1.0, 2.0), batch_tokens=100, train_tokens=300, val_tokens=50, by_epoch=2, steps=4
    ... )
    >>> found.step_s, found.total_s  # four steps of 150 tokens, two validations of 50
    (4.5, 19.0)
    """
    forward_s, backward_s = measured
    step_s = (forward_s + backward_s) / batch_tokens * train_tokens / by_epoch / processes
    validation_s = forward_s / batch_tokens * val_tokens / processes
    return Pace(
        batch_tokens=batch_tokens,
        forward_s=forward_s,
        backward_s=backward_s,
        steps=steps,
        step_s=step_s,
        total_s=step_s * steps + validation_s * -(-steps // by_epoch),
    )


def _span(seconds: float) -> str:
    """For a reader.

    >>> _span(0.004), _span(75), _span(4000), _span(200_000)
    ('0.0 s', '75.0 s', '67 min', '55.6 h')
    """
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
