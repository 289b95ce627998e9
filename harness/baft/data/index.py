"""The lines of any number of files on disk, searched for those that say the same again."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..audit import NEAR_COPY, words_of
from ..errors import DataError
from ..records import digest
from .similar import Similar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .lines import Line

NEAR_INPUTS = 0.5
"""Jaccard similarity of word triples from which inputs count as the same: two words of twenty."""

Kind = Literal["same inputs", "same id", "near inputs", "near reference"]
KINDS: tuple[Kind, ...] = ("same inputs", "same id", "near inputs", "near reference")
"""From the gravest to the mildest."""
AT_ONCE = 1_000
"""Lines written to the disk together."""

_SCHEMA = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE; PRAGMA cache_size=-8000;
CREATE TABLE files (file INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE lines (
    place INTEGER PRIMARY KEY, file INTEGER, number INTEGER, id TEXT, problem TEXT, inputs BLOB
);
CREATE TABLE twins (
    later INTEGER, file INTEGER, kind INTEGER, unlike REAL, earlier INTEGER,
    PRIMARY KEY (later, file)
) WITHOUT ROWID;
"""
_SAME_INPUTS = """
SELECT place, first FROM (
    SELECT place, MIN(place) OVER (PARTITION BY inputs) AS first FROM lines WHERE inputs NOT NULL
) WHERE place > first
"""
_SAME_ID = """
SELECT one.place, one.first FROM (
    SELECT place, inputs, MIN(place) OVER (PARTITION BY id) AS first FROM lines WHERE id NOT NULL
) one JOIN lines other ON other.place = one.first
WHERE one.place > one.first AND one.inputs <> other.inputs
"""
_TWIN = """
INSERT INTO twins SELECT one.place, other.file, ?, ?, other.place FROM lines one, lines other
WHERE one.place = ? AND other.place = ? AND (? OR one.inputs <> other.inputs)
ON CONFLICT DO UPDATE SET kind = excluded.kind, unlike = excluded.unlike, earlier = excluded.earlier
WHERE (excluded.kind, excluded.unlike, excluded.earlier) < (kind, unlike, earlier)
"""
_TWINS = """
SELECT kind, mine.name, one.number, theirs.name, other.number, -unlike
FROM twins JOIN lines one ON one.place = later JOIN lines other ON other.place = earlier
JOIN files mine ON mine.file = one.file JOIN files theirs ON theirs.file = other.file
ORDER BY later, theirs.name
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong with one line."""

    file: str
    line: int
    """From 1."""
    id: str | None
    """None where the line cannot be read."""
    problem: str
    """Empty where nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A line that says again what an earlier one says."""

    kind: Kind
    file: str
    line: int
    earlier_file: str
    earlier_line: int
    similarity: float
    """From 0 to 1; 1 where they are the same."""


class LineIndex:
    """Lines on disk, in a temporary folder: a million of them take no more memory than one.

    (But for some 40 bytes each; use it as a context manager.)
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._places = 0
        self._files: dict[str, int] = {}
        self._waiting: list[tuple[object, ...]] = []

    def __enter__(self) -> LineIndex:
        with self._stack as stack, _on_disk():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="baft-data-")))
            self._db = sqlite3.connect(folder / "lines.db", isolation_level=None)
            stack.callback(self._db.close)
            self._db.executescript(f"{_SCHEMA} BEGIN;")  # never committed: it is all thrown away
            self._near = {
                "near inputs": self._similar(stack, folder / "inputs", NEAR_INPUTS),
                "near reference": self._similar(stack, folder / "references", NEAR_COPY),
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def places(self) -> int:
        """Lines so far."""
        return self._places

    def add(self, line: Line) -> None:
        """Add a line; its place is the number of lines before it.

        Raises:
            DataError: the disk is full.
        """
        example, inputs = line.example, None
        with _on_disk():
            if example is not None:
                inputs = bytes.fromhex(digest(dict(example.inputs)))
                self._near["near inputs"].add(self._places, words_of(example.inputs))
                if example.reference is not None:
                    self._near["near reference"].add(self._places, words_of(example.reference))
            id_ = None if example is None else _text(example.id)
            file = self._file(line.file)
            row = (self._places, file, line.number, id_, _text(line.problem), inputs)
            self._places += 1
            self._waiting.append(row)
            if len(self._waiting) >= AT_ONCE:
                self._flush()

    def pairs(
        self, observe: Callable[[float], None] = lambda share: None
    ) -> Iterator[tuple[Kind, int, int, float]]:
        """Kind, place of the later and of the earlier line, similarity.

        A line that is like several others comes up with at least one of them, see ``Similar``.

        Args:
            observe: told what share of the work is done.

        Raises:
            DataError: the disk is full.
        """
        with _on_disk():
            self._flush()
            for later, earlier in self._db.execute(_SAME_INPUTS):
                yield "same inputs", later, earlier, 1.0
            for later, earlier in self._db.execute(_SAME_ID):
                yield "same id", later, earlier, 1.0
            inputs, references = self._near["near inputs"], self._near["near reference"]
            for pair in inputs.pairs(lambda share: observe(share / 2)):
                yield "near inputs", *pair
            for pair in references.pairs(lambda share: observe(0.5 + share / 2)):
                yield "near reference", *pair

    def find_twins(
        self, known: int = 0, observe: Callable[[float], None] = lambda share: None
    ) -> None:
        """Note for each line the gravest pair with an earlier line of each file.

        Pairs within the first ``known`` lines are left aside. What is the same comes up once, so
        of two lines with the same inputs their references are not compared.
        """
        for kind, later, earlier, similarity in self.pairs(observe):
            if later >= known:
                exact = kind in ("same inputs", "same id")
                found = KINDS.index(kind), -similarity, later, earlier, exact
                with _on_disk():
                    self._db.execute(_TWIN, found)

    def count(self, table: Literal["invalid", "twins"]) -> int:
        """Lines with a problem, or twins that were noted."""
        self._flush()
        where = "lines WHERE problem <> ''" if table == "invalid" else "twins"
        return int(self._db.execute(f"SELECT COUNT(*) FROM {where}").fetchone()[0])

    def twins(self) -> Iterator[Twin]:
        """What was noted, by line."""
        for kind, file, line, earlier_file, earlier_line, similarity in self._db.execute(_TWINS):
            yield Twin(
                kind=KINDS[kind],
                file=file,
                line=line,
                earlier_file=earlier_file,
                earlier_line=earlier_line,
                similarity=similarity,
            )

    def verdicts(self, *, invalid: bool = False) -> Iterator[Verdict]:
        """One for each line in order, or for each ``invalid`` one."""
        self._flush()
        where = "WHERE problem <> ''" if invalid else ""
        for row in self._db.execute(
            f"SELECT name, number, id, problem FROM lines JOIN files USING (file) {where} "
            "ORDER BY place"
        ):
            yield Verdict(file=row[0], line=row[1], id=row[2], problem=row[3])

    def _similar(self, stack: ExitStack, folder: Path, at_least: float) -> Similar:
        folder.mkdir()
        similar = Similar(folder, at_least)
        stack.callback(similar.close)
        return similar

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._files[name] = len(self._files)
            self._db.execute("INSERT INTO files VALUES (?, ?)", (self._files[name], _text(name)))
        return self._files[name]

    def _flush(self) -> None:
        self._db.executemany("INSERT INTO lines VALUES (?,?,?,?,?,?)", self._waiting)
        self._waiting.clear()


def _text(text: str) -> str:
    """Text that SQLite can hold: lone surrogates are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise DataError(
            f"Scratch files in {tempfile.gettempdir()} could not be written: {error}.",
            "Free some space there, or set TMPDIR to a folder that has more.",
        ) from error
