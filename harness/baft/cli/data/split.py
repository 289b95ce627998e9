"""``baft data split``: a training and a validation part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common import parse_share, state
from .common import FileProgress, Force, Json, RoleName, refuse_to_overwrite

if TYPE_CHECKING:
    from collections.abc import Iterator


def split(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A dataset, JSONL.")],
    output: Annotated[Path, typer.Option(help="Folder of train.jsonl and val.jsonl.")],
    val: Annotated[str, typer.Option(help="Number or share for validation: 22 or 0.2.")] = "0.2",
    seed: Annotated[int, typer.Option()] = 42,
    stratify: Annotated[str, typer.Option(help="Tags to keep in proportion: tier,lang.")] = "",
    role: RoleName = "ba",
    force: Force = False,
    json: Json = False,
) -> None:
    """Split into train.jsonl and val.jsonl; near-duplicates stay together, lines as they are."""
    from ... import data
    from ...store.datasets import write_lines

    here = state(ctx)
    parts = output / "train.jsonl", output / "val.jsonl"
    for path in parts:
        refuse_to_overwrite(path, file, force)
    with FileProgress(here, file) as progress:
        found = data.split(
            progress.lines(data.read(file, here.plugins.role(role))),
            int(val) if val.isdecimal() else parse_share(val, "val"),
            seed=seed,
            stratify=[tag.strip() for tag in stratify.split(",") if tag.strip()],
            observe=progress,
        )
    for which, path in enumerate(parts):
        write_lines(path, _part(file, found.held_out, which))
    if found.n < found.wanted:
        here.warn(f"{found.n} instead of {found.wanted}: near-duplicates stay together.")
    sizes = {path: found.held_out.count(which) for which, path in enumerate(parts)}
    if json:
        here.emit({path.stem: {"path": str(path), "n": n} for path, n in sizes.items()}, True)
    else:
        for path, n in sizes.items():
            print(f"{path}: {n}")


def _part(file: Path, held_out: bytes, which: int) -> Iterator[bytes]:
    """The lines of one part, as they stand in the file.

    Raises:
        DataError: the file has other lines than when it was split.
    """
    from ...errors import DataError
    from ...store.datasets import raw_lines

    lines = 0
    for lines, (_, raw) in enumerate(raw_lines(file), start=1):
        if lines <= len(held_out) and held_out[lines - 1] == which:
            yield raw
    if lines != len(held_out):
        raise DataError(f"{file} was changed while it was split.", "Split it again.")
