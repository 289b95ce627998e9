"""What can go wrong, as one small tree.

::

    BaftError            what happened, and what to do next
    ├── UsageError       the command or the benchmark asks for something that cannot be
    ├── DataError        a dataset, artifact or configuration file is not as it must be
    ├── PluginError      a plugin could not be loaded, or broke a promise
    ├── BackendError     a model could not answer; says whether another try may help
    └── Interrupted      the run was stopped by the user and can be resumed

Core code and plugins raise these; only ``baft.cli`` turns them into messages and exit codes.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class BaftError(Exception):
    """One sentence for what happened (``message``), one for what to do next (``hint``)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(BaftError):
    """The command line or the benchmark asks for something that cannot be."""


class DataError(BaftError):
    """A dataset, artifact or configuration file is not as it must be."""


class PluginError(BaftError):
    """A plugin could not be loaded, or broke a promise of its protocol."""


class BackendError(BaftError):
    """A model could not answer.

    Args:
        retryable: another try of the same request may succeed (a busy or dropped connection).
        gone: the whole backend cannot answer anything (server down, model missing).
        retry_after_s: seconds the server asked to wait before the next try, if it did.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        retryable: bool = False,
        gone: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.retryable = retryable
        self.gone = gone
        self.retry_after_s = retry_after_s


class Interrupted(BaftError):
    """The run was stopped by the user; what it had is stored and can be resumed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """One sentence naming the nearest known name, else all of them.

    >>> did_you_mean("olama", ["ollama", "replay"])
    "Did you mean 'ollama'?"
    >>> did_you_mean("xyz", ["b", "a"])
    'Known: a, b.'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None are registered."
