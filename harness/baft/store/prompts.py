"""Examples and prompts of a run as sequences: read from disk when somebody looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from ..records import Example, Message, Prompt
from .codec import decode

if TYPE_CHECKING:
    import sqlite3
    from array import array
    from collections.abc import Iterator
    from typing import Any


class StoredExamples(Sequence[Example]):
    """All examples of a run, in order; none is held.

    Args:
        db: the store of the run; it must stay open.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM examples").fetchone()[0])

    def __iter__(self) -> Iterator[Example]:
        query = "SELECT id, inputs, reference, tags FROM examples ORDER BY position"
        return (example_of(row) for row in self._db.execute(query))

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        place = range(len(self))[index]
        if isinstance(place, range):
            return [self[i] for i in place]
        query = "SELECT id, inputs, reference, tags FROM examples WHERE position = ?"
        return example_of(self._db.execute(query, (place,)).fetchone())


class StoredPrompts(Sequence[Prompt]):
    """A sequence whose slices are lists; what is held is eight bytes a prompt.

    Args:
        db: the store of the run; it must stay open.
        positions: of the examples in the store, ascending.
    """

    def __init__(self, db: sqlite3.Connection, positions: array[int]) -> None:
        self._db = db
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prompt]: ...
    def __getitem__(self, index: int | slice) -> Prompt | list[Prompt]:
        if isinstance(index, slice):
            return self._read(self._positions[index])
        return self._read([self._positions[index]])[0]

    def _read(self, positions: Sequence[int]) -> list[Prompt]:
        if not positions:
            return []
        wanted = set(positions)
        rows = self._db.execute(
            "SELECT position, id, inputs, prompt FROM examples WHERE position BETWEEN ? AND ?",
            (min(wanted), max(wanted)),
        )
        found = {row[0]: prompt_of(*row[1:]) for row in rows if row[0] in wanted}
        return [found[position] for position in positions]


def example_of(row: Sequence[Any]) -> Example:
    """An example out of its id, inputs, reference and tags in the store."""
    return Example(
        id=row[0],
        inputs=decode(row[1]),
        reference=decode(row[2]) if row[2] is not None else None,
        tags=decode(row[3]),
    )


def prompt_of(example_id: str, inputs: str, messages: str) -> Prompt:
    """A prompt out of its texts in the store."""
    return Prompt(example_id=example_id, inputs=decode(inputs), messages=messages_of(messages))


def messages_of(text: str) -> tuple[Message, ...]:
    """Messages out of their text in the store."""
    return tuple(Message(role=role, content=content) for role, content in decode(text))
