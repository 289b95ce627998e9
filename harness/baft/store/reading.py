"""A run opened for reading only: nothing on disk changes, also while another process writes.

A store may come from elsewhere, so bytes that are no UTF-8 are replaced and never an error.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError
from ..records import Decision, Example, Manifest, Message
from .codec import from_data, read_json
from .runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How far one arm is, from its results alone."""

    arm: str
    done: int = 0
    """Results (example times repeat) with a score or a failure."""
    failed: int = 0
    """Examples of which at least one repeat has no score."""
    scored: int = 0
    """Examples of which every repeat has a score."""
    mean: float | None = None
    """Mean over the scored examples; None where there is none."""


class RunReader(RunStore):
    """What a store holds, and short answers to what a list of runs asks."""

    @classmethod
    @contextmanager
    def reading(cls, folder: Path) -> Iterator[RunReader]:
        """The run of a folder, closed at the end.

        Raises:
            DataError: there is none, or its store cannot be read.
        """
        path = folder / "run.db"
        if not path.is_file():
            raise DataError(
                f"{folder} holds no run (no run.db).", "Runs are the folders in artifacts/runs/."
            )
        # Without a journal nobody writes: "immutable" then leaves no file of SQLite's own behind.
        quiet = not path.with_name("run.db-wal").exists()
        try:
            db = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if quiet else ''}",
                uri=True,
                check_same_thread=False,
            )
            try:
                db.text_factory = _replaced
                yield cls(folder, db)
            finally:
                db.close()
        except sqlite3.Error as error:
            raise DataError(
                f"{path} cannot be read: {error}.", "If it is being written, try again."
            ) from error

    def tallies(self) -> dict[str, Tally]:
        """Every arm that has results, by name; texts are not read."""
        rows = self._db.execute(
            "SELECT arm, SUM(asked), SUM(failed), SUM(whole), AVG(CASE WHEN whole THEN mean END) "
            "FROM (SELECT arm, COUNT(*) AS asked, AVG(value) AS mean, "
            "COUNT(value) < COUNT(*) AS failed, COUNT(value) = COUNT(*) AS whole "
            "FROM results GROUP BY arm, example_id) GROUP BY arm"
        )
        return {
            str(arm): Tally(arm=str(arm), done=done, failed=failed, scored=whole, mean=mean)
            for arm, done, failed, whole, mean in rows
        }

    def example_scores(self, arm: str, repeats: int = 1) -> dict[str, float | None]:
        """Mean over all repeats by example id, in order; None where one of them has no score."""
        rows = self._db.execute(
            "SELECT e.id, COUNT(r.value), AVG(r.value) FROM examples e JOIN results r ON "
            "r.example_id = e.id AND r.arm = ? GROUP BY e.position ORDER BY e.position",
            (arm,),
        )
        return {id_: mean if scored == repeats else None for id_, scored, mean in rows}

    def titles(self, start: int, count: int) -> list[tuple[str, str]]:
        """Id and first input of so many examples, in order, from position ``start``."""
        rows = self._db.execute(
            "SELECT id, inputs FROM examples ORDER BY position LIMIT ? OFFSET ?", (count, start)
        )
        return [(id_, _first(inputs)) for id_, inputs in rows]

    def example(self, example_id: str) -> tuple[Example, tuple[Message, ...]] | None:
        """One example with its prompt's messages; None where there is none of that id."""
        pairs = ((example, prompt.messages) for example, prompt in self.asked([example_id]))
        return next(pairs, None)

    def decision_if_any(self) -> Decision | None:
        """The decision taken last, if one was taken."""
        return self.decision() if (self.folder / "decision.json").is_file() else None


def read_manifest(folder: Path) -> Manifest:
    """The run.json of a folder; its store stays closed.

    Raises:
        DataError: it is missing or broken.
    """
    path = folder / "run.json"
    return from_data(Manifest, read_json(path, "run"), str(path))


def _replaced(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _first(inputs: str) -> str:
    found = json.loads(inputs)
    return str(next(iter(found.values()), "")) if isinstance(found, dict) else str(found)
