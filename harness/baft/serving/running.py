"""The note that a running server leaves for ``baft ask``: where it is, and what it has loaded.

It holds the key to the server, so only its owner may read it; one that others could have written is
not believed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..records import digest
from ..store.codec import from_data, read_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator


PLACES = ("adapter", "program", "base")
"""Keys of ``Backend.describe`` under which paths stand, an adapter before its base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers for a role."""

    role: str
    pid: int
    machine: str
    """Its loopback is that of this machine only."""
    port: int
    key: str
    """Opens the server; each start makes a new one."""
    spec: str
    """The model in service when it was started."""
    fingerprint: str
    """Of the model that it has loaded."""
    files: Mapping[str, str]
    """Folders and files that the model was read from, with a digest of names, sizes and times."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def outdated(self, spec: str) -> str:
        """Why it is not the model ``spec`` that it has loaded; empty where it is."""
        if spec != self.spec:
            return f"it has {self.spec} loaded, and {spec} is in service"
        changed = [name for name, known in self.files.items() if stamp(Path(name)) != known]
        return f"{changed[0]} has changed since it was loaded" if changed else ""


def note_of(project: Path, role: str) -> Path:
    """The file for a role."""
    return project / "artifacts" / "serving" / f"{role}.json"


def leave(note: Path, running: Running) -> None:
    """Write the note, for its owner only.

    Raises:
        DataError: it cannot be written.
    """
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=note.parent, prefix=f".{note.name}.")  # mode 0600
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(to_json(running))
        os.replace(temporary, note)
    except OSError as error:
        raise DataError(
            f"{note} cannot be written: {error.strerror}.", "`baft ask` will not find the server."
        ) from error


def take_away(note: Path, running: Running) -> None:
    """Remove the note, if it is still this one."""
    with contextlib.suppress(OSError, DataError):
        if read(note) == running:
            note.unlink()


def read(note: Path) -> Running | None:
    """The server that is noted there; None where none is.

    Raises:
        DataError: the note is broken, another user's, or of another machine.
    """
    try:
        found = note.stat()
    except OSError:
        return None
    if hasattr(os, "getuid") and (
        found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise DataError(f"{note} is open to other users.", "Remove it, and start the server again.")
    running = from_data(Running, read_json(note, "note of a server"), str(note))
    if running.machine != socket.gethostname():
        raise DataError(f"{note} is of the machine {running.machine}.", "Run `baft serve` here.")
    return running


def files_of(spec: str, described: Mapping[str, Any]) -> dict[str, str]:
    """The folders and files that a model is read from, stamped.

    Args:
        spec: the model.
        described: what its backend says of itself; the paths in it count too.
    """
    roots: dict[Path, None] = {}
    for text in (*_of_spec(spec), *_named(described)):
        folders = [Path(), *(root if root.is_dir() else root.parent for root in roots)]
        for folder in folders:  # a base may be named from its adapter's folder
            path = folder / Path(text)
            with contextlib.suppress(OSError, ValueError):
                if text.strip(". ") and len(text) < 1024 and path.exists():
                    roots[path.resolve()] = None
                    break
    return {str(root): stamp(root) for root in roots}


def stamp(path: Path) -> str:
    """Digest of the names, sizes and times of the files in a folder, or of one file."""
    try:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        files = [(one.name, one.stat()) for one in inside if one.is_file()]
    except OSError:
        return ""
    return digest([[name, found.st_size, found.st_mtime_ns] for name, found in files])


def _of_spec(spec: str) -> Iterator[str]:
    """What could be paths in a spec: ``SCHEME:PATH?lm=SCHEME:PATH``."""
    head, _, query = spec.partition("?")
    yield head.partition(":")[2]
    value = query.partition("=")[2]
    if value:
        yield value
        yield from _of_spec(value)


def _named(described: Mapping[str, Any]) -> Iterator[str]:
    """What backends say they were read from, their own or that of the model under them."""
    for key, value in described.items():
        if key in PLACES and isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _named(value)
