"""``baft rollback``: put back what served a role before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import state
from .completing import roles


def rollback(
    ctx: typer.Context,
    role: Annotated[
        str | None,
        typer.Option(
            help="Role whose last promotion is undone; default the last one's.",
            autocompletion=roles,
        ),
    ] = None,
    to: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Back to promotion N of the history instead."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The pipeline's config.yaml.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Although the file was changed since.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the record.")] = False,
) -> None:
    """Restore the bytes that config.yaml had before the last promotion, or after an earlier one."""
    from ..loader import tell
    from ..promotion import rollback
    from .promote import actor

    here = state(ctx)
    record = rollback(
        here.plugins,
        role=role,
        to=to,
        config=config or here.project / "config.yaml",
        project=here.project,
        by=actor(here),
        force=force,
    )
    tell(here.plugins, "baft_candidate_promoted", here.warn, promotion=record, env=here.env)
    if json:
        here.emit(record, True)
    else:
        serving = record.spec or "what was there before"
        done = f"promotion {record.arm} is undone" if to is None else f"back to promotion {to}"
        print(f"{done}; {serving} serves {record.role} again")
