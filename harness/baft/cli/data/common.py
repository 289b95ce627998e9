"""What the data commands share: options, JSON of any length, a bar, and files left alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..completing import roles
from ..progress import PLAIN_EVERY_S

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from ...data import Line
    from ..common import State

RoleName = Annotated[
    str, typer.Option("--role", help="Role that reads the lines.", autocompletion=roles)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite.")]

OFTEN = 500
"""Lines after which the bar moves on."""


class FileProgress:
    """Shows how far files are read, then how far their lines are compared; always on stderr.

    Use it as a context manager, read through ``lines``, and call it with the share compared.
    Without a ``bar`` there is a plain line now and then.
    """

    def __init__(self, here: State, *paths: Path, bar: bool = True) -> None:
        self._here = here
        self._size = sum(path.stat().st_size for path in paths if path.is_file())
        self._read = 0
        self._last = time.monotonic()
        self._bar: Any = None
        if bar and not here.quiet and sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

            self._bar = Progress(
                "{task.description:<10}",
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=here.console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("reading", total=1.0)

    def __enter__(self) -> FileProgress:
        if self._bar is not None:
            self._bar.start()
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
        if self._bar is not None:
            self._bar.stop()

    def lines(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines, with what is read of the files shown."""
        for number, line in enumerate(lines):
            self._read += len(line.raw)
            if number % OFTEN == 0:
                self._show("reading", self._read / max(self._size, self._read))
            yield line

    def __call__(self, share: float) -> None:
        """Show how far the lines are compared."""
        self._show("comparing", share)

    def _show(self, what: str, share: float) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=what, completed=share)
        elif time.monotonic() - self._last >= PLAIN_EVERY_S:
            self._last = time.monotonic()
            self._here.say(f"{what}: {share:.0%}")


def print_json(parts: Mapping[str, Any]) -> None:
    """One JSON object on stdout; a value that is an iterator is printed item by item."""
    from ...store.codec import to_data, to_json

    opening = "{"
    for key, value in parts.items():
        print(f"{opening}\n  {to_json(key)}: ", end="")
        opening = ","
        if not isinstance(value, Iterator):
            print(to_json(to_data(value)).replace("\n", "\n  "), end="")
            continue
        bracket = "["
        for item in value:
            print(f"{bracket}\n    {to_json(to_data(item), indent=None)}", end="")
            bracket = ","
        print("[]" if bracket == "[" else "\n  ]", end="")
    print("\n}")


def refuse_to_overwrite(path: Path, source: Path, force: bool) -> None:
    """Is there nothing at ``path``, or may it go?

    Raises:
        UsageError: it is the dataset itself, or something is there and is not to be overwritten.
    """
    from ...errors import UsageError

    if not path.exists():
        return
    if source.exists() and path.samefile(source):
        raise UsageError(f"{path} is the dataset itself.", "Choose another place.")
    if not force:
        raise UsageError(f"{path} exists already.", "Choose another place, or pass --force.")
