"""``baft history``: who put what in service when, on which evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import state
from .completing import roles


def history(
    ctx: typer.Context,
    role: Annotated[str | None, typer.Option(help="Only this role.", autocompletion=roles)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the records.")] = False,
) -> None:
    """List every promotion and rollback of the project, oldest first."""
    from ..promotion import history
    from ..store.codec import to_data

    here = state(ctx)
    rows = [
        (number, record)
        for number, record in enumerate(history(here.project), start=1)
        if role is None or record.role == role
    ]
    if json:
        here.emit([{"number": number, **to_data(record)} for number, record in rows], True)
        return
    if not rows:
        here.say("Nothing was promoted yet.")
    for number, record in rows:
        what = record.arm if record.action == "promote" else f"of {record.arm}"
        if record.to is not None:
            what = f"to {record.to}"
        forced = "  forced" if record.forced else ""
        print(
            f"{number:>3}  {record.date}  {record.role}  {record.action} {what}  "
            f"{record.spec or '?'}  {record.run}  {record.who}@{record.host}{forced}"
        )
