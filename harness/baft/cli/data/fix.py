"""``baft data fix``: datasets repaired in their form."""

from __future__ import annotations

import json as codec
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common import Exit, state
from .common import FileProgress, Force, Json, RoleName, print_json, refuse_to_overwrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...data import Repair
    from ..common import State


def fix(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A dataset, JSONL.")],
    output: Annotated[Path | None, typer.Option(help="The repaired dataset.")] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Change the file itself.")] = False,
    drop_invalid: Annotated[
        bool, typer.Option("--drop-invalid", help="Leave out what cannot be repaired.")
    ] = False,
    role: RoleName = "ba",
    force: Force = False,
    json: Json = False,
) -> None:
    """Repair what needs no guess, as a diff; exits with 2 if invalid lines are left in.

    Nothing is written without --output or --in-place.
    """
    from ... import data
    from ...errors import UsageError
    from ...store.datasets import write_lines

    here = state(ctx)
    if in_place and output is not None:
        raise UsageError("Both --output and --in-place were given.", "Choose one.")
    target = file if in_place else output
    if target is not None and not in_place:
        refuse_to_overwrite(target, file, force)
    reader = here.plugins.role(role)
    bar = json or not sys.stdout.isatty()  # a diff that is shown is progress enough
    progress = FileProgress(here, file, bar=bar)
    with progress, tempfile.TemporaryFile("w+") as findings:
        repairs = data.repair(progress.lines(data.read(file, reader)), reader)
        tally = _Tally(here, findings, drop_invalid=drop_invalid, as_json=json)
        if target is None:
            for _ in tally.kept(repairs):
                pass
        else:
            write_lines(target, tally.kept(repairs))
        progress.stop()
        if json:
            findings.seek(0)
            print_json({"output": str(target) if target else None, **tally.found})
    here.say(tally.summary(target))
    if tally.invalid and not drop_invalid:
        raise typer.Exit(Exit.USAGE)


class _Tally:
    """Counts repairs and says what they are as they go by."""

    def __init__(self, here: State, findings: Any, *, drop_invalid: bool, as_json: bool) -> None:
        self._here = here
        self._findings = findings
        self._drop = drop_invalid
        self._as_json = as_json
        self.changed = self.invalid = self.lines = 0

    @property
    def found(self) -> dict[str, Any]:
        """What is printed as JSON."""
        return {
            "lines": self.lines,
            "changed": self.changed,
            "invalid": self.invalid,
            "dropped": self.invalid if self._drop else 0,
            "findings": map(codec.loads, self._findings),
        }

    def kept(self, repairs: Iterable[Repair]) -> Iterator[bytes]:
        """The lines to write.

        Raises:
            DataError: none is left.
        """
        from ...errors import DataError

        for repair in repairs:
            self.changed += repair.is_changed
            self.invalid += repair.is_invalid
            self._say(repair)
            if not (repair.is_invalid and self._drop):
                self.lines += 1
                yield repair.after.raw
        if not self.lines:
            raise DataError(
                "No line is valid, so none would be left.",
                "See the reasons without --drop-invalid.",
            )

    def summary(self, target: Path | None) -> str:
        """What was done, in one line."""
        where = f"lines in {target}" if target else "lines; nothing was written"
        return f"{self.changed} changed, {self.invalid} {self._what}, {self.lines} {where}"

    @property
    def _what(self) -> str:
        return "dropped" if self._drop else "cannot be repaired"

    def _say(self, repair: Repair) -> None:
        from ...reports.datasets import diff_text
        from ...reports.text import one_line

        line = repair.after
        if repair.is_invalid:
            place = f"{line.file}, line {line.number}"
            self._here.warn(one_line(f"{place}: {self._what}: {line.problem}."))
        if self._as_json and (repair.is_changed or repair.is_invalid):
            finding = {"line": line.number, "changed": repair.is_changed, "problem": line.problem}
            print(codec.dumps(finding), file=self._findings)
        elif repair.is_changed:
            for text in diff_text(repair.before, line):
                print(text)
