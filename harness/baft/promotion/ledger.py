"""The append-only record of promotions, the backups beside it, and the lock over both.

``artifacts/promotions.jsonl`` has one ``Promotion`` a line. A change is first written down as
pending, then made, then recorded; whoever comes next settles what a killed process left pending by
looking at the bytes of the configuration.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import tempfile
from typing import TYPE_CHECKING

from ..errors import DataError
from ..records import Promotion
from ..store import write_atomic
from ..store.appending import append_record, cannot_write, locked, read_records
from ..store.codec import from_data, read_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNFINISHED = ".baft-new"
"""How names of files end that are not in their place yet."""


class Ledger:
    """The promotions of one project."""

    def __init__(self, project: Path) -> None:
        self.project = project.resolve()
        self.path = self.project / "artifacts" / "promotions.jsonl"
        self._folder = self.project / "artifacts" / "promotions"
        self._pending = self._folder / "pending.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from promoting; settles first what one left pending.

        Raises:
            DataError: another process holds the lock for too long.
        """
        busy = "Another baft is changing the configuration of this project."
        with locked(self._folder / "lock", busy):
            self._settle()
            yield

    def read(self) -> list[Promotion]:
        """Every promotion and rollback, oldest first; their numbers count from 1.

        Raises:
            DataError: a line is broken.
        """
        if self._pending.exists():
            with self.locked():
                pass
        return self.recorded()

    def commit(self, record: Promotion, config: Path, raw: bytes) -> None:
        """Make the change and record it.

        Killed anywhere, the file is whole, and the next call finds out whether it was changed.

        Args:
            record: what is recorded once the change is made.
            config: the file, symbolic links followed.
            raw: its new bytes.

        Raises:
            DataError: something could not be written; the file is as it was.
        """
        write_atomic(self._pending, to_json(record) + "\n")
        try:
            if record.sha256_before != record.sha256_after:
                replace_bytes(config, raw, was=record.sha256_before)
        except DataError:
            self._pending.unlink()
            raise
        self._settle()

    def back_up(self, raw: bytes, like: Path) -> Path:
        """Keep bytes under their hash, readable by whoever may read ``like``."""
        path = self.kept(hashlib.sha256(raw).hexdigest())
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(path, raw, like)
        return path

    def kept(self, sha256: str) -> Path:
        """Where bytes of that hash are kept, if they are."""
        return self._folder / "backups" / f"{sha256}.yaml"

    def shown(self, path: Path) -> str:
        """A path as it is recorded: from the project's folder where it lies below it."""
        path = path.resolve()
        inside = path.is_relative_to(self.project)
        return path.relative_to(self.project).as_posix() if inside else str(path)

    def located(self, recorded: str) -> Path:
        """The file that a recorded path names."""
        return self.project / recorded

    def recorded(self) -> list[Promotion]:
        """As ``read``, but nothing on disk is touched: what is pending stays so.

        Raises:
            DataError: a line is broken.
        """
        return read_records(self.path, Promotion)

    def _settle(self) -> None:
        """Record what is pending if the configuration has its bytes; forget it if not."""
        if not self._pending.exists():
            return
        record = from_data(Promotion, read_json(self._pending, "promotion"), str(self._pending))
        config = self.located(record.config)
        made = config.is_file() and _sha256(config) == record.sha256_after
        records = self.recorded()
        if made and (not records or records[-1] != record):
            self._append(record)
        for left in config.parent.glob(f".{glob.escape(config.name)}.*{UNFINISHED}"):
            left.unlink(missing_ok=True)  # by a process that was killed
        self._pending.unlink()

    def _append(self, record: Promotion) -> None:
        try:
            append_record(self.path, record)
        except OSError as error:
            raise DataError(
                f"The configuration was changed, but {self.path} could not be written: "
                f"{error.strerror or error}.",
                "Free some space; the next `baft history` adds the missing line.",
            ) from error


def check_writable(path: Path) -> None:
    """Refuse to replace a file that this user must not write.

    Raises:
        DataError: it is read-only.
    """
    if not os.access(path, os.W_OK) or not path.stat().st_mode & 0o222:  # root may write anything
        raise DataError(
            f"{path} is read-only.", f"Allow writing first: chmod u+w {path}; nothing was changed."
        )


def check_unchanged(path: Path, sha256: str) -> None:
    """Refuse to replace bytes that were never read.

    Raises:
        DataError: the file does not have that hash any more.
    """
    if not path.is_file() or _sha256(path) != sha256:
        raise DataError(f"{path} was changed by someone else since it was read.", "Try again.")


def replace_bytes(
    path: Path, raw: bytes, like: Path | None = None, *, was: str | None = None
) -> None:
    """Replace a file's bytes so that it is whole at any moment; keeps mode and owner.

    Args:
        path: the file, no symbolic link.
        raw: its new bytes.
        like: the file whose mode and owner are taken; default ``path`` itself.
        was: hash of the bytes it must still have at the last moment.

    Raises:
        DataError: it is read-only, the disk is full, the folder cannot be written, or someone who
            knows nothing of our lock changed it meanwhile.
    """
    if like is None:
        check_writable(path)
    try:
        status = (like or path).stat()
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED
        )
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(raw)
                stream.flush()
                with contextlib.suppress(OSError):  # only root may give files away
                    os.chown(temporary, status.st_uid, status.st_gid)
                os.chmod(temporary, status.st_mode & 0o7777)
                os.fsync(stream.fileno())
            if was is not None:
                check_unchanged(path, was)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error
    with contextlib.suppress(OSError):  # the file is in place; some file systems cannot do this
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
