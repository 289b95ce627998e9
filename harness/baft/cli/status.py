"""``baft status``: is what is in service still what was promoted?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import state
from .completing import roles

DRIFT = 3
"""Exit code where something in service is not what was promoted."""


def status(
    ctx: typer.Context,
    role: Annotated[
        list[str] | None, typer.Option(help="Only this role.", autocompletion=roles)
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The pipeline's config.yaml.")] = None,
    digests: Annotated[bool, typer.Option(help="Open the models and compare digests.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare config.yaml with what was last promoted; exits with 3 where they differ."""
    from ..promotion import status
    from ..store.codec import to_data

    here = state(ctx)
    found = status(
        here.plugins,
        config=config or here.project / "config.yaml",
        project=here.project,
        env=here.env,
        roles=tuple(role or ()),
        check_digests=digests,
    )
    if json:
        here.emit([{**to_data(one), "has_drifted": one.has_drifted} for one in found], True)
    else:
        for one in found:
            service = one.service
            origin = f"promotion {one.number}" if one.number else "never promoted by baft"
            print(f"{service.role}: {service.provider} {service.model} ({origin})")
            for finding in one.findings:
                print(f"  {finding.kind}: {finding.text}")
    if any(one.has_drifted for one in found):
        raise typer.Exit(DRIFT)
