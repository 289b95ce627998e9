"""``baft data stats``: one dataset in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..common import state
from .common import FileProgress, Json, RoleName


def stats(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A dataset, JSONL.")],
    role: RoleName = "ba",
    json: Json = False,
) -> None:
    """Counts, balance of tags, lengths."""
    from ... import data
    from ...reports.datasets import description_text

    here = state(ctx)
    reader = here.plugins.role(role)
    with FileProgress(here, file) as progress:
        found = data.describe(progress.lines(data.read(file, reader)), reader)
    if json:
        here.emit(found, True)
    else:
        for line in description_text(found):
            print(line)
