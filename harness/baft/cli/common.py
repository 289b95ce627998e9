"""What every command shares: the project, the plugins, where results and messages go."""

from __future__ import annotations

import enum
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from ..loader import Plugins

POLICY = "Named policy: threshold, strategy or retention."
RULE = "Set one rule: min_validity=0.9, tags.tier=0.8, floor=off."


class Exit(enum.IntEnum):
    """Exit codes; they are API (1 is left to Python's own crash)."""

    DONE = 0
    BUG = 1
    USAGE = 2
    KEEP = 3
    UNSETTLED = 4
    INCOMPLETE = 5
    INTERRUPTED = 130


@dataclass(slots=True)
class State:
    """The options that stand before the command, and what follows from them."""

    project_option: Path | None = None
    blocked: tuple[str, ...] = ()
    verbose: bool = False
    quiet: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    _plugins: Plugins | None = None

    @property
    def project(self) -> Path:
        """The folder: as given, else the nearest parent that looks like a project, else here."""
        if self.project_option is not None:
            return self.project_option
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / "benchmarks").is_dir() or (folder / "config.yaml").is_file():
                return folder
        return here

    @property
    def plugins(self) -> Plugins:
        """All plugins, loaded on first use."""
        if self._plugins is None:
            from ..loader import load_plugins

            self._plugins = load_plugins(blocked=self.blocked)
        return self._plugins

    def say(self, text: str) -> None:
        """A message for a person, on stderr, unless ``-q``."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Something went wrong that changes nothing; on stderr, even with ``-q``."""
        print(f"warning: {text}", file=sys.stderr, flush=True)

    def emit(self, value: Any, as_json: bool = False) -> None:
        """The result, on stdout: text as it is, data as JSON."""
        if as_json:
            from ..store.codec import to_json

            print(to_json(value))
        else:
            print(value if isinstance(value, str) else json.dumps(value, indent=2))

    def console(self, *, stderr: bool = False) -> Console:
        """A Rich console; without colours where the output is not a terminal."""
        from rich.console import Console

        return Console(stderr=stderr, highlight=False)


def state(ctx: typer.Context) -> State:
    """The state of this call."""
    found = ctx.find_object(State)
    assert found is not None, "cli.main sets it"
    return found


def parse_share(text: str, name: str) -> float:
    """A share between 0 and 1; a percentage only when written with ``%``.

    >>> parse_share("85.35%", "threshold")
    0.8535
    """
    from ..errors import UsageError

    raw = text.strip()
    try:
        if raw.endswith("%"):
            from decimal import Decimal

            value = float(Decimal(raw[:-1].strip()) / 100)
        else:
            value = float(raw)
    except (ValueError, ArithmeticError) as error:
        raise UsageError(f"{name} {text!r} is not a number.", "Write 0.8535 or 85.35%.") from error
    if not 0 <= value <= 1:
        hint = f"Write {raw}% if you mean a percentage." if 1 < value <= 100 else "Write 0.8535."
        raise UsageError(f"{name} {text!r} does not lie between 0 and 1.", hint)
    return value
