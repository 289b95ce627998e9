"""Back to what ``config.yaml`` said before a promotion, or after an earlier one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError, UsageError
from ..records import Promotion
from ..store import file_sha256
from .config import config_of, in_service, portable_spec, read_bytes, read_config, role_entry
from .ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from ..loader import Plugins
    from .transaction import Actor

Entry = tuple[int, Promotion]
"""A record with its number, counted from 1 over the whole history."""


def history(project: Path) -> list[Promotion]:
    """Every promotion and rollback, oldest first; their numbers count from 1."""
    return Ledger(project).read()


def standing(records: list[Promotion], config: str) -> list[Entry]:
    """The promotions of a file that no rollback has undone, with their numbers, oldest first."""
    return _standing_after(_entries(records, config))[-1]


def _entries(records: list[Promotion], config: str) -> list[Entry]:
    return [(n, record) for n, record in enumerate(records, start=1) if record.config == config]


def _standing_after(entries: list[Entry]) -> list[list[Entry]]:
    """What stands before the first entry of a file, and after each.

    A rollback restores the bytes before a promotion, so it undoes that one and all after it; one
    with ``to`` restores the bytes after a promotion, and with them all that stood then.
    """
    stacks: list[list[Entry]] = [[]]
    after: dict[int | None, list[Entry]] = {}
    for number, record in entries:
        stack = stacks[-1]
        if record.action == "promote":
            stack = [*stack, (number, record)]
        elif record.to is not None:
            stack = after.get(record.to, [])
        else:
            stack = [entry for entry in stack if entry[0] < int(record.arm)]
        stacks.append(stack)
        after[number] = stack
    return stacks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Which bytes a rollback restores."""

    number: int
    """The promotion that is undone, or with ``--to`` the one that is restored."""
    record: Promotion
    sha256: str
    """Of the bytes."""
    stack: list[Entry]
    """What stands with them."""


def rollback(
    plugins: Plugins,
    *,
    config: Path,
    project: Path,
    by: Actor,
    role: str | None = None,
    to: int | None = None,
    force: bool = False,
) -> Promotion:
    """Restore the bytes before the last promotion that still stands, or those after an earlier one.

    Args:
        plugins: they recognise what serves the role afterwards.
        config: the pipeline's configuration.
        project: folder that holds ``artifacts/``.
        by: who does it.
        role: whose promotion is undone; default that of the last one, or of ``to``.
        to: number of the promotion whose bytes are restored, whatever came after it.
        force: restore although the file has changed since; those changes are kept in the backup
            that the record names.

    Raises:
        UsageError: nothing to undo, no such promotion, or the file has changed since.
        DataError: the backup is missing or damaged, or the file cannot be written.
    """
    ledger = Ledger(project)
    with ledger.locked():
        path, raw = read_bytes(config)
        sha256 = hashlib.sha256(raw).hexdigest()
        entries = _entries(ledger.read(), ledger.shown(path))
        now = _standing_after(entries)[-1]
        if to is None:
            target = _before_the_last(now, role)
            if target is None:
                if role is not None:
                    role_entry(read_config(config), role)
                raise UsageError(
                    f"No promotion{f' of {role}' if role else ''} stands in {path}.",
                    "See `baft history`.",
                )
        else:
            target = _after(entries, to, role, path)
            if sha256 == target.sha256:
                raise UsageError(
                    f"{path} is what promotion {to} left already.", "See `baft history`."
                )
        changed = _changed_since(target, entries, now, sha256)
        if changed and not force:
            raise UsageError(
                f"{path} was changed {changed} since promotion {target.number} of "
                f"{target.record.role}.",
                "--force restores the bytes all the same, and keeps today's in a backup.",
            )
        former = _kept(ledger, target.sha256)
        serves = in_service(config_of(path, former, str(path)), target.record.role, plugins).spec
        record = Promotion(
            action="rollback",
            role=target.record.role,
            arm=str(target.number) if to is None else target.record.arm,
            spec=portable_spec(serves, ledger.project),
            fingerprint=_known_fingerprint(target, serves, ledger),
            run=target.record.run,
            date=by.date,
            config=target.record.config,
            sha256_before=sha256,
            sha256_after=target.sha256,
            backup=ledger.shown(ledger.back_up(raw, path)),
            who=by.who,
            host=by.host,
            forced=bool(changed),
            to=to,
        )
        ledger.commit(record, path, former)
    return record


def _before_the_last(now: list[Entry], role: str | None) -> _Target | None:
    """The bytes before the last promotion of a role (or of any) that stands."""
    mine = [entry for entry in now if role is None or entry[1].role == role]
    if not mine:
        return None
    number, undone = mine[-1]
    stack = [entry for entry in now if entry[0] < number]
    return _Target(number=number, record=undone, sha256=undone.sha256_before, stack=stack)


def _after(entries: list[Entry], to: int, role: str | None, path: Path) -> _Target:
    """The bytes that a promotion left.

    Raises:
        UsageError: the file has no promotion of that number, or it is another role's.
    """
    for (number, record), stack in zip(entries, _standing_after(entries)[1:], strict=True):
        if number == to and record.action == "promote" and role in (None, record.role):
            return _Target(number=to, record=record, sha256=record.sha256_after, stack=stack)
    raise UsageError(
        f"There is no promotion {to}{f' of {role}' if role else ''} in {path}.",
        "`baft history` lists them by number.",
    )


def _changed_since(target: _Target, entries: list[Entry], now: list[Entry], sha256: str) -> str:
    """By whom the file was changed in a way that the rollback would lose; empty where by nobody."""
    lost = [entry for entry in now if entry not in target.stack]
    others = [f"{n} ({record.role})" for n, record in lost if record.role != target.record.role]
    if others:
        return f"by promotion {', '.join(others)}"
    left = target.record.sha256_after
    for number, record in entries if sha256 != left else ():
        if number > target.number:
            if record.sha256_before != left:
                return "by someone else"
            left = record.sha256_after
    return "" if sha256 == left else "by someone else"


def _kept(ledger: Ledger, sha256: str) -> bytes:
    path = ledger.kept(sha256)
    if not path.is_file() or file_sha256(path) != sha256:
        raise DataError(
            f"The backup {path} is missing or damaged.",
            "Restore config.yaml from version control instead; nothing was changed.",
        )
    return path.read_bytes()


def _known_fingerprint(target: _Target, spec: str, ledger: Ledger) -> str:
    """The fingerprint with which ``spec`` was promoted earlier; empty where it never was."""
    same = (spec, portable_spec(spec, ledger.project))
    known = [record.fingerprint for _, record in target.stack if record.spec in same]
    return known[-1] if known else ""
