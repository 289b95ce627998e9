"""``baft data``: audit, describe, split and repair datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Exit, parse_share, state

app = typer.Typer(no_args_is_help=True, help="Check, describe, split and repair datasets.")

RoleName = Annotated[str, typer.Option("--role", help="Role that reads the lines.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def audit(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Datasets, JSONL.")],
    against: Annotated[
        Path | None, typer.Option(help="A dataset that may share nothing with them.")
    ] = None,
    role: RoleName = "ba",
    json: Json = False,
) -> None:
    """Verdicts, duplicates, overlap, reference scores, balance; exits with 2 unless clean.

    With -v the verdict on every line is listed, not only on the invalid ones.
    """
    from .. import data
    from ..reports.datasets import audit_text
    from ..store.codec import to_data

    here = state(ctx)
    reader = here.plugins.role(role)
    found = data.audit(
        [data.read(path, reader) for path in files],
        reader,
        here.plugins.metric(reader.metric),
        data.read(against, reader) if against is not None else (),
    )
    if json:
        here.emit({"clean": found.is_clean, **to_data(found)}, True)
    else:
        for line in audit_text(found, every_line=here.verbose):
            print(line)
    if not found.is_clean:
        raise typer.Exit(Exit.USAGE)


@app.command()
def stats(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A dataset, JSONL.")],
    role: RoleName = "ba",
    json: Json = False,
) -> None:
    """Counts, balance of tags, lengths."""
    from .. import data
    from ..reports.datasets import description_text

    here = state(ctx)
    reader = here.plugins.role(role)
    found = data.describe(data.read(file, reader), reader)
    if json:
        here.emit(found, True)
    else:
        for line in description_text(found):
            print(line)


@app.command()
def split(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A dataset, JSONL.")],
    output: Annotated[Path, typer.Option(help="Folder of train.jsonl and val.jsonl.")],
    val: Annotated[str, typer.Option(help="Number or share for validation: 22 or 0.2.")] = "0.2",
    seed: Annotated[int, typer.Option()] = 42,
    stratify: Annotated[str, typer.Option(help="Tags to keep in proportion: tier,lang.")] = "",
    role: RoleName = "ba",
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
    json: Json = False,
) -> None:
    """Split into train.jsonl and val.jsonl; near-duplicates stay together, lines as they are."""
    from .. import data
    from ..store.datasets import write_lines

    here = state(ctx)
    parts = output / "train.jsonl", output / "val.jsonl"
    for path in parts:
        _refuse_to_overwrite(path, file, force)
    lines = data.read(file, here.plugins.role(role))
    count = int(val) if val.isdecimal() else round(parse_share(val, "val") * len(lines))
    tags = [tag.strip() for tag in stratify.split(",") if tag.strip()]
    halves = data.split(lines, count, seed=seed, stratify=tags)
    for path, half in zip(parts, halves, strict=True):
        write_lines(path, (line.raw for line in half))
    if len(halves[1]) < count:
        here.warn(f"{len(halves[1])} instead of {count}: near-duplicates stay together.")
    if json:
        sizes = zip(parts, halves, strict=True)
        here.emit({path.stem: {"path": str(path), "n": len(half)} for path, half in sizes}, True)
    else:
        for path, half in zip(parts, halves, strict=True):
            print(f"{path}: {len(half)}")


@app.command()
def fix(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A dataset, JSONL.")],
    output: Annotated[Path, typer.Option(help="The repaired dataset.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff only.")] = False,
    drop_invalid: Annotated[
        bool, typer.Option("--drop-invalid", help="Leave out what cannot be repaired.")
    ] = False,
    role: RoleName = "ba",
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
    json: Json = False,
) -> None:
    """Repair what needs no guess, as a diff; exits with 2 if invalid lines are left in."""
    from .. import data
    from ..reports.datasets import diff_text
    from ..reports.text import one_line
    from ..store.datasets import write_lines

    here = state(ctx)
    reader = here.plugins.role(role)
    if not dry_run:
        _refuse_to_overwrite(output, file, force)
    result = data.repair(data.read(file, reader), reader, drop_invalid=drop_invalid)
    if not dry_run:
        write_lines(output, (line.raw for line in result.lines))
    what = "dropped" if drop_invalid else "cannot be repaired"
    for line in result.invalid:
        here.warn(one_line(f"{line.file}, line {line.number}: {what}: {line.problem}."))
    if json:
        here.emit(
            {
                "output": None if dry_run else str(output),
                "lines": len(result.lines),
                "changed": [after.number for _, after in result.changed],
                "dropped": len(result.invalid) if drop_invalid else 0,
                "invalid": [{"line": x.number, "problem": x.problem} for x in result.invalid],
            },
            True,
        )
    else:
        for before, after in result.changed:
            for text in diff_text(before, after):
                print(text)
    here.say(
        f"{len(result.changed)} changed, {len(result.invalid)} {what}, {len(result.lines)} "
        + ("lines; nothing was written" if dry_run else f"lines in {output}")
    )
    if result.invalid and not drop_invalid:
        raise typer.Exit(Exit.USAGE)


def _refuse_to_overwrite(path: Path, source: Path, force: bool) -> None:
    from ..errors import UsageError

    if not path.exists():
        return
    if source.exists() and path.samefile(source):
        raise UsageError(f"{path} is the dataset itself.", "Choose another place.")
    if not force:
        raise UsageError(f"{path} exists already.", "Choose another place, or pass --force.")
