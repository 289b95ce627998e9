"""``baft data``: one file a command."""

from __future__ import annotations

import typer

from . import audit, fix, generate, split, stats

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Check, describe, repair, split and make datasets.",
)
app.command("audit")(audit.audit)
app.command("stats")(stats.stats)
app.command("fix")(fix.fix)
app.command("split")(split.split)
app.command("generate")(generate.generate)
