"""``baft cache``: what the generation cache holds, and making it smaller."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import state

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The answers that earlier runs left to later ones.",
)

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@app.command()
def stats(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how much the cache holds, model by model."""
    from ..reports.numbers import byte_count
    from ..store.cache import GenerationCache

    here = state(ctx)
    found = GenerationCache.of_project(here.project, here.warn).stats()
    if json:
        here.emit(found, True)
        return
    from rich.table import Table

    console = here.console()
    size, limit = byte_count(found.bytes), byte_count(found.limit_bytes)
    console.print(f"{found.path}: {found.answers} answers, {size} of at most {limit}")
    if found.models:
        table = Table("model", "fingerprint", "answers", "size", box=None)
        for model in found.models:
            table.add_row(
                model.spec, model.fingerprint[:12], str(model.answers), byte_count(model.bytes)
            )
        console.print(table)


@app.command()
def prune(
    ctx: typer.Context,
    to: Annotated[str | None, typer.Option(metavar="SIZE", help="Size to keep: 500M, 2G.")] = None,
    unused_for: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Forget what was unused for so long.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget everything.")] = False,
) -> None:
    """Forget answers: all, those unused for long, or the oldest until the rest is small enough."""
    from ..errors import UsageError
    from ..store.cache import GenerationCache

    here = state(ctx)
    if to is None and unused_for is None and not everything:
        raise UsageError(
            "What is to go was not said.", "Add --to 500M, --unused-for 30 (days) or --all."
        )
    if unused_for is not None and not unused_for >= 0:
        raise UsageError(f"--unused-for {unused_for} is not a number of days.", "Write 30.")
    size = 0 if everything else parse_size(to) if to is not None else None
    gone = GenerationCache.of_project(here.project, here.warn).prune(
        to_bytes=size, unused_for_s=unused_for * 86400 if unused_for is not None else None
    )
    here.say(f"{gone} answers forgotten")


def parse_size(text: str) -> int:
    """Bytes: a number, with K, M or G for powers of 1024.

    >>> parse_size("1.5M"), parse_size("2GB"), parse_size("100")
    (1572864, 2147483648, 100)
    """
    from ..errors import UsageError

    raw = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = raw[-1:] if raw[-1:] in UNITS else ""
    try:
        value = float(raw.removesuffix(unit)) * UNITS[unit]
        if not 0 <= value < float("inf"):
            raise ValueError(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a size.", "Write 500M, 2G or a number of bytes."
        ) from error
    return int(value)
