"""Everything that a search asks, on disk as each answer arrives, and the budget it may spend.

Nothing is asked twice: the same messages to the same model with the same decoding (a DSPy rollout
is another seed) have one answer. So a search that was broken off goes on by running again from
the start: what was answered is read back, and both runs make the same choices.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from baft import BackendError, DataError, Generation, Message, UsageError, digest

from .batcher import ASKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from baft import Decoding, Prompt

    from .batcher import Batcher

FILE = "search.jsonl"
"""The journal's name in the output folder; it is removed when the search is complete."""

RETRIES = 3
"""Further tries after a failure that another try may cure, as in a comparison."""


class Stopped(BaseException):
    """Ends a search from inside DSPy, which takes any ``Exception`` for a score of 0."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Spent(BaseException):
    """The budget is spent; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a search may spend in all, resumed parts included; None is no limit."""

    max_calls: int | None = None
    """Prompts sent to a model, those that fail included."""
    max_tokens_total: int | None = None
    """Tokens of prompts and answers; calls under way when they are spent are let finish."""
    max_minutes: float | None = None
    """Minutes at work; calls under way are let finish."""

    def spent(self, calls: int, tokens: int, minutes: float) -> str:
        """Which limit is reached, as a part of a sentence; empty while there is some left.

        >>> Budget(max_calls=3).spent(3, 9, 0.1)
        'the budget of 3 calls is spent'
        """
        for limit, used, what in (
            (self.max_calls, calls, "calls"),
            (self.max_tokens_total, tokens, "tokens"),
            (self.max_minutes, minutes, "minutes"),
        ):
            if limit is not None and used >= limit:
                return f"the budget of {limit:g} {what} is spent"
        return ""


class Journal:
    """The answers so far, what they cost, and what failed; shared by all threads of a search."""

    def __init__(self, folder: Path, budget: Budget, max_errors: int) -> None:
        self.calls = 0
        """Prompts sent, resumed parts included."""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.read_back = 0
        """Answers that an earlier part of the search had got."""
        self.failures: list[str] = []
        """One sentence for each example without a score, in this part of the search."""
        self.counting = True
        """Off while DSPy runs what was asked, and counted, before."""
        self.path = folder / FILE
        self._budget = budget
        self._max_errors = max_errors
        self._lock = threading.Lock()
        self._answers: dict[str, Future[Generation]] = {}
        self._header: Mapping[str, Any] = {}
        self._file: IO[bytes] | None = None
        self._earlier_s = 0.0
        self._began = time.monotonic()

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def minutes(self) -> float:
        """Minutes at work, resumed parts included."""
        return (self._earlier_s + time.monotonic() - self._began) / 60

    def open(self, header: Mapping[str, Any], *, resume: bool) -> None:
        """Begin, or go on with what was begun with the same header.

        Raises:
            UsageError: nothing to resume, something to resume that was not asked for, or a
                header that differs; the difference is named.
            DataError: the journal is broken.
        """
        self._header = json.loads(json.dumps(header, default=str))
        if not self.path.is_file():
            if resume:
                raise UsageError(
                    f"There is no unfinished search in {self.path.parent}.", "Leave out --resume."
                )
            return
        if not resume:
            raise UsageError(
                f"{self.path.parent} holds a search that was begun and not finished.",
                f"Add --resume to go on, remove {self.path}, or choose another --output.",
            )
        self._read()

    def _read(self) -> None:
        """Read the journal back; a last line that was cut off is removed."""
        try:
            raw = self.path.read_bytes()
            whole, _, torn = raw.rpartition(b"\n")
            lines = whole.split(b"\n")
            if torn:
                with self.path.open("r+b") as file:
                    file.truncate(len(raw) - len(torn))
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}.") from error
        number = 1
        try:
            self._compare(json.loads(lines[0])["begun"])
            for number, line in enumerate(lines[1:], 2):  # noqa: B007 - named in the error
                self._restore(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{self.path}, line {number}: {type(error).__name__}: {error}.",
                "Remove the file and optimize again.",
            ) from error

    def _compare(self, begun: Mapping[str, Any]) -> None:
        names = [*self._header, *(name for name in begun if name not in self._header)]
        different = [
            f"{name} was {begun.get(name)!r} and is {self._header.get(name)!r}"
            for name in names
            if begun.get(name) != self._header.get(name)
        ]
        if different:
            raise UsageError(
                f"The search begun in {self.path.parent} was another one: {'; '.join(different)}.",
                "Repeat the command it was begun with, or choose another --output.",
            )

    def _restore(self, entry: Mapping[str, Any]) -> None:
        self.calls += 1
        self._earlier_s = float(entry["elapsed_s"])
        if "generation" in entry:
            saved = dict(entry["generation"])
            sent = saved.pop("sent")
            saved["sent"] = None if sent is None else tuple(Message(**turn) for turn in sent)
            generation = Generation(**{**saved, "notes": tuple(saved["notes"])})
            answer: Future[Generation] = Future()
            answer.set_result(generation)
            self._answers[str(entry["key"])] = answer
            self._count(generation)
            self.read_back += 1

    def _count(self, generation: Generation) -> None:
        self.prompt_tokens += generation.prompt_tokens or 0
        self.completion_tokens += generation.completion_tokens or 0

    def note(self, name: str, error: Exception) -> None:
        """Count a failure of an example.

        Raises:
            Stopped: the model is gone, or failed more often than allowed.
        """
        text = str(error).strip().split("\n")[0].rstrip(".")
        sentence = f"{name}: {type(error).__name__}: {text}."
        with self._lock:
            if self.counting:
                self.failures.append(sentence)
            count = len(self.failures)
        gone = isinstance(error, BackendError) and error.gone
        if gone or count > self._max_errors:
            many = f"{count} answers failed, more than --max-errors allows; the last: "
            said = error.message if isinstance(error, BackendError) else sentence
            hint = error.hint if isinstance(error, BackendError) else "See the failure named."
            raise Stopped(BackendError(said if gone else many + said, hint, gone=gone)) from error

    def ask(
        self, batcher: Batcher, fingerprint: str, prompt: Prompt, decoding: Decoding
    ) -> Generation:
        """The answer on record, else the model's own, which is then on record.

        Raises:
            BackendError: the model gave none, even when asked again.
            Spent: the budget does not cover the call.
        """
        messages = [[message.role, message.content] for message in prompt.messages]
        key = digest([fingerprint, messages, asdict(decoding)])
        with self._lock:
            known = self._answers.get(key)
            if known is None:
                own = self._answers[key] = Future()
        if known is not None:
            return replace(known.result(), example_id=prompt.example_id)
        try:
            generation = self._send(batcher, prompt, decoding, key)
        except BaseException as error:
            with self._lock:  # a failure is no answer: whoever needs it may ask again
                del self._answers[key]
            own.set_exception(error)
            raise
        own.set_result(generation)
        return generation

    def _send(self, batcher: Batcher, prompt: Prompt, decoding: Decoding, key: str) -> Generation:
        attempt = 0
        while True:
            with self._lock:
                spent = self._budget.spent(self.calls, self.tokens, self.minutes)
                if spent:
                    raise Spent(spent)
                self.calls += 1
            started = time.monotonic()
            try:
                generation = batcher.ask(prompt, decoding)
            except BackendError as error:
                with self._lock:
                    self._write({"failed": key, "why": error.message})
                asking = ASKING.get()
                dropped = asking is not None and asking.cancelled
                if attempt == RETRIES or not error.retryable or error.gone or dropped:
                    raise
                time.sleep(error.retry_after_s or 0.5 * 2**attempt)
                attempt += 1
                continue
            if generation.latency_s is None:
                generation = replace(generation, latency_s=time.monotonic() - started)
            with self._lock:
                self._count(generation)
                self._write({"key": key, "generation": asdict(generation)})
            return generation

    def _write(self, entry: Mapping[str, Any]) -> None:
        """Append one line; the file appears with the first answer. Called under the lock."""
        if self._file is None:
            if "generation" not in entry and not self.path.is_file():
                return
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab", buffering=0)
            except OSError as error:
                raise Stopped(
                    DataError(f"{self.path} cannot be written: {error.strerror}.")
                ) from error
            if self._file.tell() == 0:
                self._file.write(_line({"begun": self._header}))
        self._file.write(_line({**entry, "elapsed_s": self.minutes * 60}))

    def close(self, *, complete: bool) -> None:
        """Close the file, and remove it if the search is complete."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            if complete:
                self.path.unlink(missing_ok=True)


class Recorded:
    """A batcher whose answers are on record."""

    def __init__(self, batcher: Batcher, fingerprint: str, journal: Journal) -> None:
        self._batcher = batcher
        self._fingerprint = fingerprint
        self._journal = journal

    def ask(self, prompt: Prompt, decoding: Decoding) -> Generation:
        """As ``Journal.ask``; what fails while DSPy itself runs the program is counted here.

        Raises:
            BackendError: the model gave no answer.
            Stopped: it is gone, or failed more often than allowed.
            Spent: the budget does not cover the call.
        """
        try:
            return self._journal.ask(self._batcher, self._fingerprint, prompt, decoding)
        except BackendError as error:
            asking = ASKING.get()
            if asking is None or not asking.counted:
                self._journal.note(prompt.example_id, error)
            raise


def _line(entry: Mapping[str, Any]) -> bytes:
    # a lone surrogate becomes its JSON escape
    return (
        json.dumps(entry, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
        + b"\n"
    )
