"""``baft data audit``: what is wrong with datasets, and what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common import Exit, state
from .common import FileProgress, Json, RoleName, print_json

if TYPE_CHECKING:
    from ...data import Ruler
    from ...protocols import Role
    from ..common import State


def audit(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Datasets, JSONL.")],
    against: Annotated[
        list[Path] | None, typer.Option(help="A dataset that may share nothing with them.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens that an example may have; see --tokenizer.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Base model whose tokens are counted: folder or hub id.")
    ] = None,
    trainer: Annotated[str, typer.Option(help="Trainer that counts the tokens.")] = "lora",
    role: RoleName = "ba",
    json: Json = False,
) -> None:
    """Verdicts, duplicates, overlap, reference scores, balance, lengths; exits with 2 unless clean.

    With -v the verdict on every line is listed, not only on the invalid ones.
    """
    from ... import data
    from ...reports.datasets import audit_text

    here = state(ctx)
    reader = here.plugins.role(role)
    ruler = _ruler(here, reader, max_length, tokenizer, trainer)
    known = against or []
    progress = FileProgress(here, *files, *known)
    audited = data.audit(
        [progress.lines(data.read(path, reader)) for path in files],
        reader,
        here.plugins.metric(reader.metric),
        (line for path in known for line in progress.lines(data.read(path, reader))),
        ruler=ruler,
        observe=progress,
    )
    with progress, audited as result:
        progress.stop()
        if json:
            print_json(
                {
                    "clean": result.is_clean,
                    "files": result.files,
                    "scores": result.scores,
                    "lengths": result.lengths,
                    "verdicts": result.verdicts(),
                    "twins": result.twins(),
                }
            )
        else:
            for line in audit_text(result, every_line=here.verbose):
                print(line)
    if not result.is_clean:
        raise typer.Exit(Exit.USAGE)


def _ruler(
    here: State, role: Role, max_length: int | None, tokenizer: str | None, trainer: str
) -> Ruler | None:
    from ...data import Ruler
    from ...errors import UsageError
    from ...protocols import TokenCounter

    if max_length is None and tokenizer is None:
        return None
    if tokenizer is None or max_length is None:
        raise UsageError(
            "Lengths need a bound and a tokenizer.",
            "Give both --max-length TOKENS and --tokenizer FOLDER.",
        )
    counter = here.plugins.make("trainers", trainer)
    if not isinstance(counter, TokenCounter):
        raise UsageError(f"The trainer {trainer!r} counts no tokens.", "Choose another --trainer.")
    return Ruler(max_length=max_length, measure=counter.token_counter(role, tokenizer))
