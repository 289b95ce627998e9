"""The log of a run: ``run.log`` beside its reports, one line an event, without secrets.

Modules log to ``logging.getLogger(__name__)``; here alone is decided where that goes.
"""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from .errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LEVELS = ("debug", "info", "warning", "error")
SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTH")
"""A variable with one of these in its name is taken to hold a secret."""
IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
"""The password of an address, as ``OLLAMA_HOST`` and proxies have it."""
LEAST = 6
"""Characters of a secret; shorter values are words that would be cut out of everything."""


@contextmanager
def logged_to(path: Path, level: str, env: Mapping[str, str]) -> Iterator[None]:
    """Write what is logged below ``baft`` to a file, appending, while the block lasts.

    Args:
        path: of the log.
        level: the least severe level that is written.
        env: environment variables whose secrets are blotted out.

    Raises:
        UsageError: the level is unknown.
    """
    check_level(level)
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Formatter(secrets_in(env)))
    root = logging.getLogger("baft")
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


def check_level(level: str) -> None:
    """Refuse a level that there is not.

    Raises:
        UsageError: naming the nearest one.
    """
    if level not in LEVELS:
        raise UsageError(f"The log level {level!r} is unknown.", did_you_mean(level, LEVELS))


def secrets_in(env: Mapping[str, str]) -> tuple[str, ...]:
    """The values of variables that hold secrets by their names, and passwords in URLs.

    The longest come first, and a password also as it reads when its ``%`` escapes are undone.
    """
    named = {value for name, value in env.items() if any(word in name.upper() for word in SECRET)}
    in_urls = {found for value in env.values() for found in IN_URL.findall(value)}
    found = named | in_urls | {unquote(password) for password in in_urls}
    return tuple(sorted((one for one in found if len(one) >= LEAST), key=len, reverse=True))


class _Formatter(logging.Formatter):
    """``TIME LEVEL module: message`` on one line, in UTC, with secrets blotted out."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s")
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"
        self.default_msec_format = ""
        self._secrets = secrets

    @staticmethod
    def converter(timestamp: float | None) -> time.struct_time:
        """Times are UTC."""
        return time.gmtime(timestamp)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ⏎ ".join(text.splitlines())
