"""The runs of a project as a list: of each only what a line needs, read again when it changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import BaftError
from ..store import RunReader, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..records import Decision, Manifest
    from ..store import Tally

PATIENCE_S = 900.0
"""A run that has written nothing for so long is not called running; slow models take minutes."""

FILES = ("run.json", "decision.json", "run.db", "run.db-wal")
"""A run has changed when one of these has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLine:
    """One arm in the list."""

    name: str
    spec: str
    mean: float | None
    scored: int
    failed: int
    done: int
    expected: int
    """Results that a whole arm has: examples times repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run in the list."""

    id: str
    state: str
    """``finished``, ``running``, ``unfinished`` or ``broken``."""
    problem: str = ""
    """Why it could not be read."""
    manifest: Manifest | None = None
    decision: Decision | None = None
    arms: tuple[ArmLine, ...] = ()

    @property
    def threshold(self) -> float:
        """The mean that a winner needed."""
        policy = (self.decision.policy if self.decision else None) or (
            self.manifest.policy if self.manifest else None
        )
        return policy.threshold if policy else 1.0


class Catalog:
    """Finds runs by name; only folders that were found here are ever opened.

    Args:
        folder: where the project keeps its runs; need not exist.
        further: folders of runs that lie elsewhere.
    """

    def __init__(self, folder: Path, further: Iterable[Path] = ()) -> None:
        self._folder = folder
        self._further = tuple(further)
        self._known: dict[str, tuple[tuple[int, ...], RunLine]] = {}

    def folders(self) -> dict[str, Path]:
        """The folder of every run by its name, the newest name first."""
        found = {path.parent.name: path.parent for path in self._folder.glob("*/run.json")}
        return dict(sorted(found.items(), reverse=True)) | {
            path.resolve().name: path for path in self._further
        }

    def lines(self) -> list[RunLine]:
        """Every run, the newest first."""
        lines = [self.line(id_, folder) for id_, folder in self.folders().items()]
        return sorted(lines, key=lambda line: _date(line), reverse=True)

    def line(self, id_: str, folder: Path) -> RunLine:
        """One run, from memory where no file of it has changed."""
        state = _state(folder)
        known = self._known.get(id_)
        if known is None or known[0] != state or known[1].state == "running":
            known = self._known[id_] = (state, _read(id_, folder))
        return known[1]


def _state(folder: Path) -> tuple[int, ...]:
    marks = []
    for name in FILES:
        try:
            found = (folder / name).stat()
        except OSError:
            marks += [0, 0]
        else:
            marks += [found.st_mtime_ns, found.st_size]
    return tuple(marks)


def _read(id_: str, folder: Path) -> RunLine:
    try:
        manifest = read_manifest(folder)
        with RunReader.reading(folder) as store:
            tallies, decision = store.tallies(), store.decision_if_any()
    except (BaftError, OSError) as error:
        return RunLine(id=id_, state="broken", problem=str(error))
    arms = arm_lines(manifest, tallies)
    return RunLine(
        id=id_,
        state=_progress(folder, arms, decision),
        manifest=manifest,
        decision=decision,
        arms=arms,
    )


def arm_lines(manifest: Manifest, tallies: dict[str, Tally]) -> tuple[ArmLine, ...]:
    """Every arm that was asked for, with what it has so far."""
    expected = manifest.num_examples * manifest.repeats
    lines = []
    for arm in manifest.arms:
        tally = tallies.get(arm.name)
        lines.append(
            ArmLine(
                name=arm.name,
                spec=arm.spec,
                mean=tally.mean if tally else None,
                scored=tally.scored if tally else 0,
                failed=tally.failed if tally else 0,
                done=tally.done if tally else 0,
                expected=expected,
            )
        )
    return tuple(lines)


def _progress(folder: Path, arms: Iterable[ArmLine], decision: Decision | None) -> str:
    done = all(arm.done >= arm.expected for arm in arms)
    try:
        written = (folder / "run.db-wal").stat().st_mtime
    except OSError:  # nobody has it open
        written = 0.0
    if time.time() - written < PATIENCE_S and not (done and decision is not None):
        return "running"
    return "finished" if done or decision is not None else "unfinished"


def _date(line: RunLine) -> str:
    return line.manifest.date if line.manifest else ""
