"""The generation cache: answers of earlier runs, found again by all that shaped them.

One SQLite file in WAL mode, ``artifacts/cache/generations.db``, shared by every run of a project.
Its key is a SHA-256 over the model's fingerprint, how it draws, the prompt with its inputs, and the
decoding with its seed: two models never share an answer, and neither do two seeds. It only ever
saves time: what it cannot read or write is asked and answered as if it were not there.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..records import Generation, digest
from .codec import from_data, plain, to_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ..records import ArmManifest, Decoding, Prompt

LIMIT_BYTES = 1 << 30
"""The file may grow to 1 GiB; then what was not used for longest goes."""
KEPT = 0.8
"""Share of the limit that is left after pruning, so that it is not needed every time."""
BUFFER = 64
"""So many answers are written in one transaction."""
CHUNK = 500

_SCHEMA = """
PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
PRAGMA busy_timeout=5000;
CREATE TABLE IF NOT EXISTS generations (
    key BLOB PRIMARY KEY, fingerprint TEXT NOT NULL, spec TEXT NOT NULL, generation TEXT NOT NULL,
    used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON generations (used);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShare:
    """What one model has in the cache."""

    spec: str
    fingerprint: str
    answers: int
    bytes: int
    """Of its answers, as they are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What the cache holds."""

    path: str
    answers: int
    bytes: int
    """Size of the file."""
    limit_bytes: int
    models: tuple[ModelShare, ...] = ()


class GenerationCache:
    """The cache of one project.

    Args:
        path: of the database; it is made when something is kept.
        warn: told once, if the cache cannot be used.
        limit_bytes: size of the file above which old answers go.
    """

    def __init__(
        self,
        path: Path,
        warn: Callable[[str], None] = lambda text: None,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self._warn = warn
        self._db: sqlite3.Connection | None = None
        self._broken = False

    def of(self, arm: ArmManifest) -> ArmCache | None:
        """The part of the cache that belongs to an arm; None where its answers cost nothing."""
        if arm.config.get("cache") is False or not arm.fingerprint:
            return None
        return ArmCache(self, arm.spec, arm.fingerprint, _sampling(arm.config))

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Generation]:
        """The answers under these keys, as far as there are any; they count as used now."""
        found: dict[bytes, Generation] = {}
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            rows = self._run(
                f"SELECT key, generation FROM generations WHERE key IN ({marks})", part, []
            )
            answers = {bytes(key): _read(text) for key, text in rows}
            found |= {key: answer for key, answer in answers.items() if answer is not None}
            self._run(
                f"UPDATE generations SET used = ? WHERE key IN ({marks})", (time.time(), *part), []
            )
        return found

    def keep(self, rows: Iterable[tuple[bytes, str, str, Generation]]) -> None:
        """Store answers as (key, fingerprint, spec, answer); those already there stay."""
        now = time.time()
        values = [
            (key, fingerprint, spec, _write(generation), now)
            for key, fingerprint, spec, generation in rows
        ]
        db = self._open()
        if db is None or not values:
            return
        try:
            with db:
                db.executemany("INSERT OR IGNORE INTO generations VALUES (?,?,?,?,?)", values)
        except sqlite3.Error as error:
            self._give_up(error)

    def forget(self, keys: Sequence[bytes]) -> None:
        """Remove the answers under these keys."""
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            self._run(f"DELETE FROM generations WHERE key IN ({marks})", part, [])

    def stats(self) -> CacheStats:
        """What it holds, by model; the largest first.

        Raises:
            DataError: the file is there and cannot be read.
        """
        if not self.path.exists():
            return CacheStats(path=str(self.path), answers=0, bytes=0, limit_bytes=self.limit_bytes)
        rows = self._strictly(
            "SELECT spec, fingerprint, COUNT(*), SUM(LENGTH(generation)) FROM generations "
            "GROUP BY fingerprint, spec ORDER BY 4 DESC"
        )
        models = tuple(
            ModelShare(spec=spec, fingerprint=fingerprint, answers=count, bytes=size)
            for spec, fingerprint, count, size in rows
        )
        return CacheStats(
            path=str(self.path),
            answers=sum(model.answers for model in models),
            bytes=self._size(),
            limit_bytes=self.limit_bytes,
            models=models,
        )

    def prune(self, *, to_bytes: int | None = None, unused_for_s: float | None = None) -> int:
        """Forget answers: those not used for a while, and the oldest until the file is small.

        Args:
            to_bytes: the size to come down to; default: the limit.
            unused_for_s: forget what was not used for so many seconds.

        Returns:
            How many went.

        Raises:
            DataError: the file cannot be written.
        """
        if not self.path.exists():
            return 0
        before = self._count()
        if unused_for_s is not None:
            self._strictly("DELETE FROM generations WHERE used < ?", (time.time() - unused_for_s,))
        goal = self.limit_bytes if to_bytes is None else to_bytes
        self._shrink()
        while self._size() > goal and (left := self._count()):
            surplus = 1 - goal / self._size()
            self._strictly(
                "DELETE FROM generations WHERE key IN "
                "(SELECT key FROM generations ORDER BY used LIMIT ?)",
                (max(1, int(left * surplus) + 1),),
            )
            self._shrink()
        return before - self._count()

    @classmethod
    def of_project(
        cls, project: Path, warn: Callable[[str], None] = lambda text: None
    ) -> GenerationCache:
        """The cache in a project's ``artifacts/cache/``."""
        return cls(project / "artifacts" / "cache" / "generations.db", warn)

    def close(self) -> None:
        """Prune if it grew too large, and let go of the file."""
        try:
            if self._db is not None and self._size() > self.limit_bytes:
                self.prune(to_bytes=int(self.limit_bytes * KEPT))
        except DataError as error:
            self._warn(error.message)
        if self._db is not None:
            self._db.close()
            self._db = None

    def _size(self) -> int:
        """Bytes of the database; what its journal holds is in them already."""
        ((pages, free, size),) = self._strictly(
            "SELECT page_count, freelist_count, page_size FROM pragma_page_count, "
            "pragma_freelist_count, pragma_page_size"
        )
        return int((pages - free) * size)

    def _count(self) -> int:
        ((count,),) = self._strictly("SELECT COUNT(*) FROM generations")
        return int(count)

    def _shrink(self) -> None:
        # As a script: ``execute`` would give back a single page.
        self._strictly("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)", script=True)

    def _strictly(
        self, query: str, values: Sequence[Any] = (), *, script: bool = False
    ) -> list[Any]:
        try:
            db = self._db or self._connect()
            if script:
                db.executescript(query)
                return []
            with db, closing(db.execute(query, values)) as rows:
                return rows.fetchall()
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"The cache {self.path} cannot be used: {error}.",
                "Delete the file: it only saves time.",
            ) from error

    def _run(self, query: str, values: Sequence[Any], otherwise: list[Any]) -> list[Any]:
        db = self._open()
        if db is None:
            return otherwise
        try:
            with db, closing(db.execute(query, values)) as rows:
                return rows.fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return otherwise

    def _open(self) -> sqlite3.Connection | None:
        if self._db is None and not self._broken:
            try:
                self._connect()
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        return None if self._broken else self._db

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self.path, check_same_thread=False)
        self._db.executescript(_SCHEMA)
        return self._db

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        self._warn(
            f"The cache {self.path} cannot be used ({error}); going on without it. "
            "Delete the file if this stays: it only saves time."
        )


class ArmCache:
    """One arm's answers in the cache."""

    def __init__(
        self, cache: GenerationCache, spec: str, fingerprint: str, sampling: Sequence[str]
    ) -> None:
        self._cache = cache
        self._spec = spec
        self._fingerprint = fingerprint
        self._sampling = tuple(sampling)
        self._waiting: list[tuple[bytes, str, str, Generation]] = []
        self._written: list[bytes] = []

    def key(self, prompt: Prompt, decoding: Decoding) -> bytes:
        """Everything that shapes the answer to a prompt, as 32 bytes."""
        return bytes.fromhex(
            digest(
                {
                    "fingerprint": self._fingerprint,
                    "sampling": self._sampling,
                    "messages": [[m.role, m.content] for m in prompt.messages],
                    "inputs": to_data(prompt.inputs),
                    "decoding": to_data(decoding),
                }
            )
        )

    def find(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """Earlier answers to these prompts, as answers to their examples."""
        keys = {prompt.example_id: self.key(prompt, decoding) for prompt in prompts}
        found = self._cache.find(list(keys.values()))
        return [replace(found[k], example_id=id_) for id_, k in keys.items() if k in found]

    def keep(
        self, prompts: Sequence[Prompt], decoding: Decoding, generations: Sequence[Generation]
    ) -> None:
        """Store the answers to prompts, several at a time; ``flush`` writes the rest."""
        self._waiting += (
            (self.key(prompt, decoding), self._fingerprint, self._spec, generation)
            for prompt, generation in zip(prompts, generations, strict=True)
        )
        if len(self._waiting) >= BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        self._written += (key for key, *_ in waiting)
        self._cache.keep(waiting)

    def withdraw(self) -> None:
        """Forget what was kept in this sitting: it was not the model that answered."""
        self._waiting.clear()
        self._cache.forget(self._written)
        self._written.clear()


def _sampling(config: Mapping[str, Any]) -> list[str]:
    """What shapes the draws beside the decoding, of the model and of the one under it."""
    under = config.get("lm")
    below = _sampling(under) if isinstance(under, dict) else []
    return [str(config.get("sampling", "")), *below]


def _write(generation: Generation) -> str:
    return json.dumps(to_data(replace(generation, example_id="")), default=plain)


def _read(text: str) -> Generation | None:
    """The stored answer; None where it is not one, as another version may have written it."""
    try:
        return from_data(Generation, json.loads(text), "The cache")
    except (DataError, ValueError):
        return None
