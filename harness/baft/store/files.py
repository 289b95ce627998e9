"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import TYPE_CHECKING

from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import TextIO


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, content: str | Iterable[str]) -> None:
    """Write UTF-8 text so that ``path`` holds either its old bytes or all of the new ones.

    Args:
        path: the file; its folder is made.
        content: the text, or its pieces in order (they are never all in memory).

    Raises:
        DataError: the disk is full or the folder cannot be written; the old file stands.
    """
    pieces = [content] if isinstance(content, str) else content

    def write(stream: TextIO) -> None:
        for piece in pieces:
            stream.write(piece)

    write_atomic_with(path, write)


def write_atomic_with(path: Path, write: Callable[[TextIO], None]) -> None:
    """As ``write_atomic``, the content being written by a function."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise DataError(
            f"{path} could not be written: {error.strerror or error}.",
            "Free some space or choose another folder; nothing was changed.",
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
