"""The language model recorded beside a program: a spec whose paths hold wherever the tree lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from baft import UsageError

from .reading import info_beside

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts of a recorded model that need no confirmation."""


def recorded_lm(path: Path) -> str:
    """The spec of the language model that is recorded beside the program.

    Raises:
        UsageError: none is recorded, or one on another machine: a file from elsewhere must not
            choose where prompts are sent.
    """
    spec = info_beside(path).get("lm")
    if isinstance(spec, str) and spec:
        if not _is_here(spec):
            raise UsageError(
                f"The file beside {path} sends prompts, and maybe a key, to {spec!r}.",
                f"If that is what you want, say so: dspy:{path}?lm={spec}",
            )
        return anchored(spec, path.resolve().parent)
    raise UsageError(
        f"Nothing beside {path} says which language model it runs on.",
        f"Add it: dspy:{path}?lm=SPEC, such as ?lm=ollama:mistral:7b-instruct.",
    )


def _is_here(spec: str) -> bool:
    """Whether a spec names no server, or one on this machine.

    >>> [_is_here(spec) for spec in ("ollama:m@http://localhost:1", "ollama:m@elsewhere:1")]
    [True, False]
    """
    _, at, server = spec.partition("@")
    if "@" in server or server.count("://") != spec.count("://") or server.count("://") > 1:
        return False
    return not at or urlsplit(server if "://" in server else f"//{server}").hostname in LOOPBACK


def anchored(spec: str, folder: Path) -> str:
    """The spec with relative paths found from ``folder`` or the nearest parent that has them.

    Only what contains a slash can be a path, and only what exists is replaced.
    """

    def anchor(value: str) -> str:
        for root in (folder, *folder.parents):
            if (root / value).exists():
                return str((root / value).resolve())
        return value

    return _with_paths(spec, lambda value: value if Path(value).is_absolute() else anchor(value))


def relative(spec: str, folder: Path) -> str:
    """The opposite of ``anchored``: existing paths as seen from ``folder``."""

    def seen(value: str) -> str:
        if not Path(value).exists():
            return value
        path = os.path.relpath(Path(value).resolve(), folder.resolve())
        return path if "/" in path else f"./{path}"

    return _with_paths(spec, seen)


def _with_paths(spec: str, change: Callable[[str], str]) -> str:
    """The spec ``SCHEME:TARGET?KEY=VALUE`` with whatever contains a slash changed.

    >>> _with_paths("lora:a/b?base=c/d", str.upper)
    'lora:A/B?base=C/D'
    """
    scheme, colon, rest = spec.partition(":")
    if not colon or "://" in spec:
        return spec
    target, mark, query = rest.partition("?")
    key, equals, value = query.partition("=")
    target = change(target) if "/" in target else target
    value = change(value) if "/" in value else value
    return f"{scheme}:{target}{mark}{key}{equals}{value}"
