"""``baft diff``: two runs example by example; no model is called and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import state

if TYPE_CHECKING:
    from collections.abc import Iterable


def diff(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(help="Folder or id of the run before.")],
    second: Annotated[Path, typer.Argument(help="Folder or id of the run after, or `last`.")],
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="A=B", help="Set arm A of the first against arm B of the second."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare even where data, metric or role differ.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a second run fixed and broke, and what else differs between the two."""
    from ..reports import diff_runs, diff_text
    from ..store import RunReader
    from .runs import find_run

    here = state(ctx)
    pairs = _pairs(arm or ())
    with (
        RunReader.reading(find_run(here, first)) as before,
        RunReader.reading(find_run(here, second)) as after,
    ):
        found = diff_runs(before, after, pairs, force=force)
    if json:
        here.emit(found, True)
    else:
        here.emit("\n".join(diff_text(found)))


def _pairs(given: Iterable[str]) -> dict[str, str] | None:
    """Arms to set against each other; a name alone means the same in both.

    Raises:
        UsageError: one is named twice or not at all.
    """
    from ..errors import UsageError

    pairs: dict[str, str] = {}
    for text in given:
        a, equals, b = text.partition("=")
        if not a or (equals and not b) or a in pairs:
            raise UsageError(f"--arm {text!r} is no pair A=B of its own.", "Write --arm old=new.")
        pairs[a] = b or a
    return pairs or None
