"""What shells complete beside commands and flags: the names of roles, metrics, models, policies."""

from __future__ import annotations

from collections.abc import Callable  # Typer looks at the types as it starts
from pathlib import Path

import typer

from .common import State


def _names(kind: str) -> Callable[[typer.Context], list[str]]:
    def names(ctx: typer.Context) -> list[str]:
        blocked = ctx.find_root().params.get("no_plugin") or ()
        return State(blocked=tuple(blocked)).plugins.names(kind)

    return names


roles, metrics = _names("roles"), _names("metrics")
trainers, optimizers = _names("trainers"), _names("optimizers")


def policies() -> list[str]:
    """The named policies."""
    from ..policies import POLICIES

    return list(POLICIES)


def specs(ctx: typer.Context, incomplete: str) -> list[str]:
    """The ways to open a model, and behind a way files; bare paths are left to the shell."""
    way, colon, path = incomplete.partition(":")
    if not colon:
        return [f"{name}:" for name in _names("backends")(ctx)]
    under = path[: path.rfind("/") + 1]
    try:
        found = sorted(Path(under or ".").iterdir())
    except OSError:
        return []
    return [f"{way}:{under}{one.name}{'/' if one.is_dir() else ''}" for one in found]


def arms(ctx: typer.Context, incomplete: str) -> list[str]:
    """``NAME=SPEC``, once the name is there."""
    name, equals, spec = incomplete.partition("=")
    return [f"{name}={one}" for one in specs(ctx, spec)] if equals else []
