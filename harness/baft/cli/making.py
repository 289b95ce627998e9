"""What ``train`` and ``optimize`` share: flags as options, and progress by step."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    import typer

    from .common import State


def flags(ctx: typer.Context, *without: str) -> dict[str, Any]:
    """All flags of the command but some, by name."""
    return {name: value for name, value in ctx.params.items() if name not in without}


class StepProgress:
    """Shows logged steps: a bar on a terminal, plain lines elsewhere; tells listeners of each."""

    def __init__(
        self, here: State, what: str, told: Callable[..., None] | None, output: Path
    ) -> None:
        self._here = here
        self._what = what
        self._told = told
        self._output = output
        self._last = 0.0
        self._bar: Any = None

    def __enter__(self) -> StepProgress:
        if not self._here.quiet and sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
                console=self._here.console(stderr=True),
            )
            self._task = self._bar.add_task(self._what, total=None, note="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, step: Mapping[str, Any]) -> None:
        """Show one step: ``step`` or ``trial``, ``total`` and whatever numbers it has."""
        if self._told is not None:
            self._told(output=self._output, step=step)
        done, total = step.get("step", step.get("trial", 0)), step.get("total")
        note = " ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in step.items()
            if key not in ("step", "trial", "total") and isinstance(value, (int, float, str))
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
        elif time.monotonic() - self._last >= 5 or done == total:
            self._last = time.monotonic()
            self._here.say(f"{self._what}: {done}/{total} {note}")
