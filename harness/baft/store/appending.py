"""Files of JSON lines that only grow: one record a line, written under a lock.

A line that a killed writer left torn is not read, and the next writer removes it.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout

from ..errors import DataError
from .codec import from_data, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")

LOCK_TIMEOUT_S = 10.0


@contextlib.contextmanager
def locked(lock: Path, busy: str) -> Iterator[None]:
    """Keep every other process out while the block lasts.

    Args:
        lock: the file that stands for the lock; its folder is made.
        busy: one sentence for whoever waited in vain.

    Raises:
        DataError: another process holds the lock for too long, or it cannot be made.
    """
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=LOCK_TIMEOUT_S)
    except Timeout as error:
        raise DataError(busy, "Wait until it has finished, then try again.") from error
    except OSError as error:
        raise cannot_write(lock.parent, error) from error
    try:
        yield
    finally:
        held.release()


def read_records(path: Path, kind: type[T]) -> list[T]:
    """Every record of a file, oldest first; none where there is no file.

    Raises:
        DataError: it cannot be read, or a line is broken; the line is named.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    records = []
    for number, line in enumerate(lines[:-1], start=1):  # what has no line end was never whole
        where = f"{path}, line {number}"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}: not valid JSON ({error}).", "Restore the file from version control."
            ) from error
        records.append(from_data(kind, data, where))
    return records


def append_record(path: Path, record: object) -> None:
    """One whole line at the end, on the disk; the torn end of a killed writer goes first.

    Whoever calls it holds the lock.

    Raises:
        OSError: it cannot be written.
    """
    line = to_json(record, indent=None).encode("utf-8", "backslashreplace")
    with path.open("a+b") as stream:
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(line + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def cannot_write(path: Path, error: OSError) -> DataError:
    """What to say where the disk is full or a file must not be written."""
    return DataError(
        f"{path} could not be written: {error.strerror or error}.",
        "Free some space or check the permissions.",
    )
