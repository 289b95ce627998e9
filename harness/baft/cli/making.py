"""What ``train`` and ``optimize`` share: flags as options, and progress by step."""

from __future__ import annotations

import shlex
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


def command_given(ctx: typer.Context) -> str:
    """The command as it was typed, as far as its own flags go, fit for a shell."""
    words = ["baft", ctx.info_name or ""]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        value = ctx.params[name]
        if isinstance(value, bool):
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            words += [parameter.opts[0], str(value)]
    return shlex.join(words)


class StepProgress:
    """Shows logged steps: a bar on a terminal, plain lines elsewhere; tells listeners of each."""

    def __init__(
        self, here: State, what: str, told: Callable[..., None] | None, output: Path
    ) -> None:
        self._here = here
        self._what = what
        self._told = told
        self._output = output
        self._first: tuple[float, float] | None = None
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
        """Show one step: ``step`` or ``trial``, ``total`` and whatever numbers it has.

        A ``message`` is shown as it is; ``example`` of ``examples`` are parts of a trial.
        """
        if self._told is not None:
            self._told(output=self._output, step=step)
        if "message" in step:
            self._say(str(step["message"]))
            return
        done, total = step.get("step", step.get("trial", 0)), step.get("total")
        parts = step["example"] / step["examples"] if step.get("examples") else 0.0
        note = " ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in step.items()
            if key not in ("step", "trial", "total", "example", "examples")
            and isinstance(value, (int, float, str))
        )
        if parts:
            note = f"(+ {step['example']}/{step['examples']}) {note}"
        is_first = self._first is None
        if self._first is None:  # what was loaded before, or done before a --resume, is no pace
            self._first = (time.monotonic(), done + parts)
        if self._bar is not None:
            show = self._bar.reset if is_first else self._bar.update
            show(self._task, completed=done + parts, total=total, note=note)
            if "val_loss" in step:  # the next step would wipe it out
                self._say(f"{self._what}: {done}/{total} {note}")
            return
        is_telling = "val_loss" in step or ("trial" in step and not parts)
        if is_telling or done == total or time.monotonic() - self._last >= 5:
            self._last = time.monotonic()
            self._say(f"{self._what}: {done}/{total} {note}{self._left(done + parts, total)}")

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False)
        else:
            self._here.say(text)

    def _left(self, done: float, total: int | None) -> str:
        """The time left if the rest goes as what was done here went."""
        began, before = self._first or (0.0, done)
        if not total or done >= total or done <= before:
            return ""
        seconds = (time.monotonic() - began) / (done - before) * (total - done)
        return (
            f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"
        )
