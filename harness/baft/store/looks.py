"""The ledger of looks: which candidates were tried on which dataset, and who opened a sealed one.

``artifacts/looks.jsonl`` has one ``Look`` a line and only grows. A line that a killed writer left
torn is not counted, and the next writer removes it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..records import Looks
from .appending import append_record, cannot_write, locked, read_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One candidate, tried on one dataset in one run."""

    kind: Literal["look", "opened", "sealed"]
    """Tried on a validation set; a sealed set was opened for it; what the sealed set said."""
    dataset_sha256: str
    fingerprint: str
    """Of the candidate."""
    run: str
    """The run's id."""
    date: str
    """ISO 8601, UTC."""
    arm: str
    spec: str
    limit: int | None = None
    """Of a smoke run: so many examples."""
    passed: bool | None = None
    """What the sealed set said."""
    mean: float | None = None
    """On the sealed set."""


class LookLedger:
    """The looks of one project."""

    def __init__(self, project: Path) -> None:
        self.path = project / "artifacts" / "looks.jsonl"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from writing.

        Raises:
            DataError: another process holds the lock for too long, or there is no room.
        """
        with locked(self.path.with_name(".looks.lock"), f"Another baft is writing {self.path}."):
            yield

    def read(self) -> list[Look]:
        """Every look, oldest first.

        Raises:
            DataError: a line is broken.
        """
        return read_records(self.path, Look)

    def record(self, looks: Sequence[Look]) -> None:
        """Write down what is not there yet: a run looks at a candidate once, however often resumed.

        Raises:
            DataError: it cannot be written.
        """
        with self.locked():
            self.add(looks)

    def add(self, looks: Sequence[Look]) -> None:
        """As ``record``, by whoever holds the lock."""
        known = {_key(look) for look in self.read()}
        try:
            for look in looks:
                if _key(look) not in known:
                    append_record(self.path, look)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def count(self, dataset_sha256: str, incumbent: str, run: str) -> Looks:
        """Looks at a dataset up to and including a run.

        Args:
            dataset_sha256: which dataset.
            incumbent: fingerprint of the model in service: it is on trial nowhere.
            run: the last run that counts; all of them if it left no look.
        """
        found = [
            look
            for look in self.read()
            if look.kind == "look"
            and look.dataset_sha256 == dataset_sha256
            and look.fingerprint != incumbent
        ]
        ends = [i for i, look in enumerate(found) if look.run == run]
        if ends:
            found = found[: ends[-1] + 1]
        whole = [look for look in found if look.limit is None]
        return Looks(
            candidates=len({look.fingerprint for look in whole}),
            runs=len({look.run for look in whole}),
            smoke_runs=len({look.run for look in found} - {look.run for look in whole}),
        )

    def opening(self, dataset_sha256: str, fingerprint: str) -> tuple[Look | None, Look | None]:
        """Who opened a sealed set for a candidate, and what it said; None where nobody did."""
        about = [
            look
            for look in self.read()
            if look.dataset_sha256 == dataset_sha256 and look.fingerprint == fingerprint
        ]
        opened = next((look for look in about if look.kind == "opened"), None)
        return opened, next((look for look in about if look.kind == "sealed"), None)


def _key(look: Look) -> tuple[str, str, str, str]:
    return look.kind, look.run, look.dataset_sha256, look.fingerprint
