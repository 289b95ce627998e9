"""Opening the models of a comparison, and saying what was opened with which versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BaftError, PluginError, UsageError
from .loader import describe, off_stdout
from .records import ArmManifest

if TYPE_CHECKING:
    from typing import Any

    from .loader import Plugins
    from .protocols import Backend, Context
    from .store import Benchmark


def anchor(spec: str, root: Path) -> str:
    """The spec with a relative path that exists below ``root`` turned into one that works here."""
    scheme, colon, rest = spec.partition(":")
    head, question, query = (rest if colon else scheme).partition("?")
    if question:  # ?lm=SPEC and ?base=PATH name models too
        key, equals, value = query.partition("=")
        query = f"{key}{equals}{anchor(value, root)}"
    path = root / head
    if head and not Path(head).is_absolute() and path.exists():
        shown = os.path.relpath(path)
        head = shown if not shown.startswith("..") else str(path.resolve())
    return f"{scheme + colon if colon else ''}{head}{question}{query}"


def open_arms(
    benchmark: Benchmark, plugins: Plugins, context: Context
) -> tuple[tuple[ArmManifest, ...], dict[str, Backend]]:
    """Open every model of a benchmark and take its fingerprint.

    Raises:
        UsageError: at least one is not available; each is named with the reason.
    """
    arms, backends, problems = [], {}, []
    for name, spec in benchmark.models.items():
        try:
            backend = plugins.open(spec, context)
            fingerprint, config = _identity(spec, backend)
            arms.append(ArmManifest(name=name, spec=spec, fingerprint=fingerprint, config=config))
            backends[name] = backend
        except BaftError as error:
            how = benchmark.how_to_get.get(name, "")
            lines = [f"{name} ({spec}) is not available: {error.message}", error.hint, how]
            problems.append("\n    ".join(line for line in lines if line))
    if problems:
        raise UsageError(
            "Not every model of this comparison is there.\n  " + "\n  ".join(problems),
            "`baft compare pocket` runs on any machine.",
        )
    return tuple(arms), backends


def _identity(spec: str, backend: Backend) -> tuple[str, dict[str, Any]]:
    """Fingerprint and facts of a model, which goes into run.json.

    Raises:
        PluginError: its plugin fails to say, or says it in another form than it must.
    """
    said = "fingerprint"
    try:
        with off_stdout():
            fingerprint = backend.fingerprint()
            said = "describe"
            config = dict(backend.describe())
        json.dumps(config, allow_nan=False)
    except BaftError:
        raise
    except (Exception, SystemExit) as error:  # border: plugin call
        raise PluginError(
            f"{said}() of its backend failed: {describe(error)}.",
            f"Report it to the author of {spec.partition(':')[0]!r}; see `baft plugins`.",
        ) from error
    if not isinstance(fingerprint, str) or not fingerprint:
        raise PluginError(
            f"fingerprint() of its backend gave {fingerprint!r} and no text.",
            f"Report it to the author of {spec.partition(':')[0]!r}; see `baft plugins`.",
        )
    return fingerprint, config


def versions(plugins: Plugins) -> dict[str, str]:
    """Of Python, and of every distribution that brings a plugin, baft among them."""
    labels = {info.distribution for info in plugins.infos if not info.problem}
    return {
        "python": platform.python_version(),
        "baft": importlib.metadata.version("baft"),
        **dict(label.rsplit(" ", 1) for label in sorted(labels)),
    }


def git_commit(project: Path) -> str:
    """The project's commit, ``+changes`` where the tree is not clean; empty outside git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+changes" if changed else "")
