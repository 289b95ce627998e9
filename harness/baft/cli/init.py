"""``baft init``: benchmarks, example data and a minimal config.yaml in the user's own project."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import state


def init(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Set up this folder (or --project) for baft; nothing that exists is changed."""
    from pathlib import Path

    from ..store.scaffold import scaffold

    here = state(ctx)
    folder = here.project_option if here.project_option is not None else Path.cwd()
    made, kept = scaffold(folder)
    if json:
        here.emit({"made": [str(p) for p in made], "kept": [str(p) for p in kept]}, True)
        return
    for path in made:
        print(f"made  {path}")
    for path in kept:
        print(f"kept  {path}")
    print("Next: baft compare pocket")
