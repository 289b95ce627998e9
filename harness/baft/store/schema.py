"""The tables of a run's store, and how the store is opened."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from ..errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 3
"""1 knew no hash of a prompt's tokens; 2 no first token, no tries again and no memory."""

_ADDED = {
    1: ("ALTER TABLE generations ADD COLUMN prompt_sha256 TEXT",),
    2: (
        "ALTER TABLE generations ADD COLUMN first_token_s REAL",
        "ALTER TABLE arm_times ADD COLUMN retried INTEGER",
        "ALTER TABLE arm_times ADD COLUMN peak_memory_bytes INTEGER",
    ),
}
"""What each version of a store lacks to become the next one."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS examples (
    position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL,
    inputs TEXT NOT NULL, reference TEXT, tags TEXT NOT NULL, prompt TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS generations (
    arm TEXT NOT NULL, example_id TEXT NOT NULL, repeat INTEGER NOT NULL,
    text TEXT NOT NULL, fields TEXT, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, latency_s REAL, sent TEXT, notes TEXT,
    prompt_sha256 TEXT, first_token_s REAL,
    PRIMARY KEY (arm, example_id, repeat)
);
CREATE TABLE IF NOT EXISTS results (
    arm TEXT NOT NULL, example_id TEXT NOT NULL, repeat INTEGER NOT NULL,
    prediction TEXT, validity TEXT, value REAL, components TEXT, other_score REAL,
    failure_stage TEXT, failure_reason TEXT, attempts INTEGER,
    PRIMARY KEY (arm, example_id, repeat)
);
CREATE TABLE IF NOT EXISTS arm_times (
    arm TEXT NOT NULL, wall_s REAL NOT NULL, retried INTEGER, peak_memory_bytes INTEGER
);
CREATE TABLE IF NOT EXISTS arm_cached (arm TEXT NOT NULL, answers INTEGER NOT NULL, tokens INTEGER);
"""


def connect(folder: Path) -> sqlite3.Connection:
    """Open the store in a run's folder, made or brought up to this version where need be.

    Raises:
        DataError: another version wrote it, or it cannot be opened.
    """
    path = folder / "run.db"
    try:
        db = sqlite3.connect(path, check_same_thread=False)
        db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=5000;"
        )
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, *_ADDED, SCHEMA_VERSION):
            raise DataError(
                f"{path} was written by another version of baft (store version {found}).",
                "Read it with that version.",
            )
        for version in _ADDED if found else ():
            for statement in _ADDED[version] if version >= found else ():
                db.execute(statement)
        db.executescript(f"{_SCHEMA} PRAGMA user_version={SCHEMA_VERSION};")
    except sqlite3.Error as error:
        raise DataError(f"{path} cannot be opened: {error}.", "Is the disk full?") from error
    return db
