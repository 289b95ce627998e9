"""Datasets: UTF-8 JSONL, one example a line; a broken line names file, line and reason."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError
from .files import file_sha256, write_atomic_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Any, TextIO

    from ..protocols import Role
    from ..records import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The examples of a file, with the hash of its bytes."""

    path: Path
    sha256: str
    examples: tuple[Example, ...]
    skipped: tuple[str, ...] = ()
    """One sentence for each invalid line that ``allow_invalid`` passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a file holds, without its examples."""

    path: Path
    sha256: str
    num_examples: int
    skipped: tuple[str, ...] = ()
    """As in ``Dataset``."""


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes, line end included, of each line that is not blank.

    A byte order mark belongs to the file and is left out.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
                if line.decode("utf-8", "replace").strip():
                    yield number, line
    except FileNotFoundError as error:
        raise DataError(
            f"There is no dataset at {path}.", "Check the path, or run `baft init` for an example."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that is not blank.

    Raises:
        DataError: the file is missing, or a line is not UTF-8.
    """
    for number, raw in raw_lines(path):
        try:
            yield number, raw.decode().strip()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {number}: not UTF-8 ({error.reason}).",
                "Save the file as UTF-8.",
            ) from error


def read_dataset(path: Path, role: Role, *, allow_invalid: bool = False) -> Dataset:
    """All examples of a file, read by the role.

    Raises:
        DataError: missing or empty file, a broken line, two examples with one id.
    """
    skipped: list[str] = []
    examples = tuple(read_examples(path, role, skipped if allow_invalid else None))
    return Dataset(path=path, sha256=file_sha256(path), examples=examples, skipped=tuple(skipped))


def survey(path: Path, role: Role, *, allow_invalid: bool = False) -> Survey:
    """What ``read_dataset`` would find, none of which is kept.

    Raises:
        DataError: as ``read_dataset`` does.
    """
    skipped: list[str] = []
    n = sum(1 for _ in read_examples(path, role, skipped if allow_invalid else None))
    return Survey(path=path, sha256=file_sha256(path), num_examples=n, skipped=tuple(skipped))


def read_examples(path: Path, role: Role, skipped: list[str] | None = None) -> Iterator[Example]:
    """The examples of a file one by one, read by the role.

    Args:
        path: the file.
        role: what reads a row.
        skipped: takes a sentence for each invalid line; None makes it an error.

    Raises:
        DataError: missing or empty file, a broken line, two examples with one id.
    """
    first_line: dict[str, int] = {}
    for number, line in read_lines(path):
        try:
            example = role.example(parse_row(line))
            if example.id in first_line:
                raise ValueError(
                    f"id {example.id!r} was already used in line {first_line[example.id]}"
                )
        except Exception as error:  # border: a role's reader
            what = str(error).rstrip(".") or type(error).__name__
            if not isinstance(error, (ValueError, RecursionError)):
                what = f"the role {role.name!r} failed to read it: {type(error).__name__}: {error}"
            problem = f"{path}, line {number}: {what}."
            if skipped is None:
                raise DataError(
                    problem, "Mend the line, or pass --allow-invalid to skip and count it."
                ) from error
            skipped.append(problem)
            continue
        first_line[example.id] = number
        yield example
    if not first_line:
        raise DataError(
            f"{path} holds no example.", "A dataset has one JSON object a line; see benchmarks/."
        )


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write lines as they are, the last one with an end; whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """

    def write(stream: TextIO) -> None:
        for line in lines:
            stream.buffer.write(line if line.endswith(b"\n") else line + b"\n")

    write_atomic_with(path, write)


def parse_row(line: str) -> dict[str, Any]:
    """The JSON object of one line.

    Raises:
        ValueError: it is not JSON, or not an object.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(row, dict):
        raise ValueError(f"a {type(row).__name__}, not a JSON object")
    return row
