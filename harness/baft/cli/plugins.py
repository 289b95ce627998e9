"""``baft plugins``: what is loaded, what it offers, and why something is not."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import state


def plugins(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List plugins, what each offers, versions, and why one did not load."""
    loaded = state(ctx).plugins
    if json:
        keys = ("name", "distribution", "module", "offers", "experimental", "hooks", "problem")
        rows = [{key: getattr(info, key) for key in keys} for info in loaded.infos]
        state(ctx).emit({"plugins": rows, "clashes": sorted(loaded.clashes.values())}, True)
        return
    for info in loaded.infos:
        offers = [f"{o} (experimental)" if o in info.experimental else o for o in info.offers]
        what = ", ".join((*offers, *info.hooks)) or "nothing"
        said = f"NOT LOADED: {info.problem}" if info.problem else what
        print(f"{info.name:<12} {info.distribution:<16} {said}")
    for sentence in sorted(loaded.clashes.values()):
        print(f"CLASH: {sentence}")
