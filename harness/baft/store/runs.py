"""One run on disk: ``run.json``, the SQLite store of what was generated and scored, the reports.

The store is in WAL mode and every batch is committed when it arrives: a killed process loses only
what was in flight. SQLite's own journal makes a commit whole or absent.
"""

from __future__ import annotations

import secrets
import sqlite3
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..records import (
    Decision,
    Example,
    Generation,
    Manifest,
    Prompt,
    Scored,
)
from .codec import decode, from_data, read_json, to_json
from .files import write_atomic
from .prompts import StoredExamples, StoredPrompts, example_of
from .rows import ScoreRow, dump, generation_of, prompt_of, scored_of, storable
from .schema import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence


AT_ONCE = 500
"""So many examples are looked up by one query: SQLite bounds the parameters of a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sittings:
    """What an arm took over all its sittings."""

    wall_s: float = 0.0
    retried: int = 0
    peak_memory_bytes: int | None = None
    """None where no process of ours computed the model."""


def new_run_id(benchmark: str) -> str:
    """A run's name: time (UTC), benchmark, and a few random digits; sorts by time."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{benchmark}-{secrets.token_hex(2)}"


class RunStore:
    """A run's folder; open it with ``create`` or ``open`` and close it after use."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection

    @classmethod
    def create(cls, folder: Path, manifest: Manifest) -> RunStore:
        """A new run.

        Raises:
            DataError: the folder holds a run already, or cannot be written.
        """
        if (folder / "run.json").exists():
            raise DataError(
                f"{folder} already holds a run.",
                f"Go on with it by --resume {folder}, or choose another --output.",
            )
        write_atomic(folder / "run.json", to_json(manifest) + "\n")
        return cls(folder, connect(folder))

    @classmethod
    def open(cls, folder: Path) -> RunStore:
        """A run that exists.

        Raises:
            DataError: there is none.
        """
        if not (folder / "run.json").is_file():
            raise DataError(
                f"{folder} holds no run (no run.json).",
                "Runs are the folders in artifacts/runs/.",
            )
        return cls(folder, connect(folder))

    def close(self) -> None:
        """Close the store; the journal is folded into the file."""
        self._db.close()

    def manifest(self) -> Manifest:
        """What the run was asked to do."""
        path = self.folder / "run.json"
        return from_data(Manifest, read_json(path, "run"), str(path))

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace ``run.json``."""
        write_atomic(self.folder / "run.json", to_json(manifest) + "\n")

    def decision(self) -> Decision:
        """The decision taken last."""
        path = self.folder / "decision.json"
        return from_data(Decision, read_json(path, "decision"), str(path))

    def add_examples(
        self, examples: Iterable[Example], prompt: Callable[[Example], Prompt]
    ) -> None:
        """Store the examples with the prompts made of them; those already there stay."""
        rows = (
            (
                position,
                example.id,
                dump(example.inputs),
                dump(example.reference) if example.reference is not None else None,
                dump(example.tags),
                dump([[m.role, m.content] for m in prompt(example).messages]),
            )
            for position, example in enumerate(examples)
        )
        with self._writing() as db:
            db.executemany("INSERT OR IGNORE INTO examples VALUES (?,?,?,?,?,?)", rows)

    def add_generations(self, arm: str, repeat: int, generations: Iterable[Generation]) -> None:
        """Commit what came back."""
        self.add(arm, repeat, generations, ())

    def add_results(self, arm: str, results: Iterable[Scored]) -> None:
        """Commit scores and failures."""
        self.add(arm, 0, (), results)

    def add(
        self, arm: str, repeat: int, generations: Iterable[Generation], results: Iterable[Scored]
    ) -> None:
        """Commit what came back, and scores and failures, in one transaction."""
        answers = (
            (
                arm,
                g.example_id,
                repeat,
                storable(g.text),
                dump(g.fields) if g.fields is not None else None,
                g.finish_reason,
                g.prompt_tokens,
                g.completion_tokens,
                g.latency_s,
                dump([[m.role, m.content] for m in g.sent]) if g.sent is not None else None,
                dump(g.notes) if g.notes else None,
                g.prompt_sha256,
                g.first_token_s,
            )
            for g in generations
        )
        outcomes = (
            (
                arm,
                r.example_id,
                r.repeat,
                dump(r.prediction.fields) if r.prediction else None,
                r.prediction.validity if r.prediction else None,
                r.score.value if r.score else None,
                dump(r.score.components) if r.score else None,
                r.other_score,
                r.failure.stage if r.failure else None,
                storable(r.failure.reason) if r.failure else None,
                r.failure.attempts if r.failure else None,
            )
            for r in results
        )
        marks = ",".join("?" * 11)
        with self._writing() as db:
            db.executemany(f"INSERT OR REPLACE INTO generations VALUES ({marks},?,?)", answers)
            db.executemany(f"INSERT OR REPLACE INTO results VALUES ({marks})", outcomes)

    def add_sitting(self, arm: str, sitting: Sittings) -> None:
        """Add to what an arm took."""
        row = (arm, sitting.wall_s, sitting.retried, sitting.peak_memory_bytes)
        with self._writing() as db:
            db.execute("INSERT INTO arm_times VALUES (?,?,?,?)", row)

    def sittings(self, arm: str) -> Sittings:
        """What an arm took."""
        further = ("retried", "peak_memory_bytes")
        known = (name if self._knows("arm_times", name) else "NULL" for name in further)
        retried, peak = known
        wall_s, again, most = self._db.execute(
            f"SELECT SUM(wall_s), SUM({retried}), MAX({peak}) FROM arm_times WHERE arm = ?", (arm,)
        ).fetchone()
        return Sittings(
            wall_s=float(wall_s or 0.0), retried=int(again or 0), peak_memory_bytes=most
        )

    def _knows(self, table: str, column: str) -> bool:
        """Whether there is such a column; a store of before, opened for reading, stays as it is."""
        query = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
        return self._db.execute(query, (table, column)).fetchone() is not None

    def notes(self, arm: str) -> Iterator[tuple[tuple[str, ...], int]]:
        """What backends noted on an arm's answers, and on how many of them."""
        rows = self._db.execute(
            "SELECT notes, COUNT(*) FROM generations WHERE arm = ? AND notes IS NOT NULL "
            "GROUP BY notes ORDER BY MIN(rowid)",
            (arm,),
        )
        for text, count in rows:
            yield tuple(decode(text)), count

    def add_cached(self, arm: str, generations: Sequence[Generation]) -> None:
        """Count answers of an arm that came from the cache, with their completion tokens."""
        tokens = sum(g.completion_tokens or 0 for g in generations)
        with self._writing() as db:
            db.execute("INSERT INTO arm_cached VALUES (?,?,?)", (arm, len(generations), tokens))

    def cached(self, arm: str) -> tuple[int, int]:
        """Answers of an arm that came from the cache, and their completion tokens."""
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'arm_cached'").fetchone():
            return 0, 0  # a store of before, opened for reading only
        query = "SELECT SUM(answers), SUM(tokens) FROM arm_cached WHERE arm = ?"
        answers, tokens = self._db.execute(query, (arm,)).fetchone()
        return int(answers or 0), int(tokens or 0)

    def finished(self, arm: str) -> set[tuple[str, int]]:
        """(example id, repeat) of everything that has a score or a failure."""
        rows = self._db.execute("SELECT example_id, repeat FROM results WHERE arm = ?", (arm,))
        return set(rows.fetchall())

    def count(self, arm: str) -> int:
        """How many results an arm has, failures included."""
        (n,) = self._db.execute("SELECT COUNT(*) FROM results WHERE arm = ?", (arm,)).fetchone()
        return int(n)

    def missing(self, arm: str, repeat: int, only: Container[str] | None = None) -> StoredPrompts:
        """The prompts that an arm has neither an answer to nor a result of, in order.

        Args:
            arm: the arm's name.
            repeat: which of the repeats.
            only: ids of the examples that are meant; None means all.
        """
        rows = self._db.execute(
            "SELECT e.position, e.id FROM examples e WHERE NOT EXISTS (SELECT 1 FROM generations g "
            "WHERE g.arm = :arm AND g.example_id = e.id AND g.repeat = :repeat) AND NOT EXISTS "
            "(SELECT 1 FROM results r WHERE r.arm = :arm AND r.example_id = e.id AND "
            "r.repeat = :repeat) ORDER BY e.position",
            {"arm": arm, "repeat": repeat},
        )
        positions = array("q", (at for at, id_ in rows if only is None or id_ in only))
        return StoredPrompts(self._db, positions)

    def some(self, ids: Iterable[str]) -> list[Example]:
        """These examples, in the order given; strange ids are left out."""
        found: list[Example] = []
        wanted = iter(ids)
        while part := list(islice(wanted, AT_ONCE)):
            marks = ",".join("?" * len(part))
            query = f"SELECT id, inputs, reference, tags FROM examples WHERE id IN ({marks})"
            rows = {row[0]: row for row in self._db.execute(query, part)}
            found += [example_of(rows[id_]) for id_ in part if id_ in rows]
        return found

    def asked(self, ids: Iterable[str]) -> list[tuple[Example, Prompt]]:
        """These examples with their prompts, in the order given; strange ids are left out."""
        query = "SELECT id, inputs, reference, tags, prompt FROM examples WHERE id = ?"
        rows = (self._db.execute(query, (id_,)).fetchone() for id_ in ids)
        return [(example := example_of(row), prompt_of(example, row[4])) for row in rows if row]

    def unscored(self, arm: str, repeat: int) -> list[Generation]:
        """Generations that came back but were not scored before the run stopped."""
        rows = self._db.execute(
            "SELECT g.* FROM generations g LEFT JOIN results r USING (arm, example_id, repeat) "
            "WHERE g.arm = ? AND g.repeat = ? AND r.arm IS NULL",
            (arm, repeat),
        )
        return [generation_of(row) for row in rows]

    def examples(self) -> StoredExamples:
        """Every example, in order."""
        return StoredExamples(self._db)

    def score_rows(self, arm: str) -> Iterator[ScoreRow]:
        """The numbers of an arm's results, in order of examples and repeats."""
        first = "g.first_token_s" if self._knows("generations", "first_token_s") else "NULL"
        rows = self._db.execute(
            "SELECT r.example_id, r.repeat, r.value, r.components, r.other_score, r.validity, "
            "r.failure_stage, r.failure_reason, g.finish_reason, g.prompt_tokens, "
            f"g.completion_tokens, g.latency_s, {first} FROM examples e JOIN results r ON "
            "r.example_id = e.id AND r.arm = ? LEFT JOIN generations g ON g.arm = r.arm AND "
            "g.example_id = r.example_id AND g.repeat = r.repeat ORDER BY e.position, r.repeat",
            (arm,),
        )
        for row in rows:
            yield ScoreRow(
                example_id=row[0],
                repeat=row[1],
                value=row[2],
                components=decode(row[3]) if row[3] else {},
                other_score=row[4],
                validity=row[5],
                failure=f"{row[6]}: {row[7]}" if row[6] else None,
                finish_reason=row[8],
                prompt_tokens=row[9],
                completion_tokens=row[10],
                latency_s=row[11],
                first_token_s=row[12],
            )

    def results(self, arm: str, example_id: str | None = None) -> Iterator[Scored]:
        """Everything about an arm's results, texts included, in order of examples and repeats.

        Args:
            arm: the arm's name.
            example_id: only the results of this example.
        """
        query = (
            "SELECT r.*, g.* FROM examples e JOIN results r ON r.example_id = e.id AND r.arm = ? "
            "LEFT JOIN generations g ON g.arm = r.arm AND g.example_id = r.example_id AND "
            "g.repeat = r.repeat {} ORDER BY e.position, r.repeat"
        )
        if example_id is None:
            rows = self._db.execute(query.format(""), (arm,))
        else:
            rows = self._db.execute(query.format("WHERE e.id = ?"), (arm, example_id))
        for row in rows:
            yield scored_of(row)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; a full disk becomes a clear error and loses nothing committed."""
        try:
            with self._db:
                yield self._db
        except sqlite3.OperationalError as error:
            raise DataError(
                f"{self.folder / 'run.db'} could not be written: {error}.",
                f"Free some space, then go on with --resume {self.folder}.",
            ) from error
