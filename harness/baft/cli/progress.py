"""Progress of a run: bars on a terminal, a plain line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rich.progress import TaskID

    from ..engine import Progress
    from .common import State

PLAIN_EVERY_S = 10.0


class RunProgress:
    """Shows how far each arm is; use it as a context manager and call it as the observer."""

    def __init__(self, here: State) -> None:
        self._here = here
        self.seen: dict[str, Progress] = {}
        """The latest of each arm."""
        self._bars = None
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, float] = {}
        if not here.quiet and sys.stderr.isatty():
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bars = Progress(
                TextColumn("{task.description:<10}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=here.console(stderr=True),
            )

    def __enter__(self) -> RunProgress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        """Show one arm's progress."""
        self.seen[progress.arm] = progress
        if self._bars is not None:
            task = self._tasks.get(progress.arm)
            if task is None:
                task = self._tasks[progress.arm] = self._bars.add_task(
                    progress.arm, total=progress.total, note=""
                )
            self._bars.update(task, completed=progress.done, note=", ".join(_facts(progress)))
            return
        now = time.monotonic()
        over = 0 < progress.total <= progress.done
        if over or now - self._last.setdefault(progress.arm, now) >= PLAIN_EVERY_S:
            self._last[progress.arm] = now
            facts = [*_facts(progress), *_left(progress)]
            line = f"{progress.arm}: {progress.done}/{progress.total} {', '.join(facts)}"
            self._here.say(line.rstrip())


def _facts(progress: Progress) -> Iterator[str]:
    if progress.tokens:
        yield f"{progress.tokens_per_s:.0f} tok/s"
    if progress.cached:
        yield f"{progress.cached} cached"
    if progress.failed:
        yield f"{progress.failed} failed"
    if progress.retried:
        yield f"{progress.retried} retried"


def _left(progress: Progress) -> Iterator[str]:
    from ..reports.numbers import duration

    if progress.left_s is not None:
        yield f"{duration(progress.left_s)} left"
