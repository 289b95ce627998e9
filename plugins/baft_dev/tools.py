"""What the compiler, ruff and pytest say of files that a model wrote, each in the sandbox."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baft import UsageError

from .sandbox import FOLDER, TOOLS, Limits, SandboxError, python, run

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTEST = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
"""The modules that pytest needs to collect; nothing else of the machine can be imported inside."""
RULES = "E,F,W,B,C90"
"""Ruff's rules: pycodestyle, Pyflakes, bugbear, and functions with more than 10 branches."""
_START = (
    f"import sys; sys.path.insert(0, '{TOOLS}/site'); import pytest; "
    f"sys.path.insert(0, '{FOLDER}'); sys.exit(pytest.main(sys.argv[1:]))"
)
_SMALL = {
    "it.py": "IT = 1\n",
    "tests/test_it.py": "import it\n\n\ndef test_it():\n    assert it.IT\n",
}
_COLLECTED = re.compile(r"([\w./-]+\.py)::(?:.*::)?(\w+)(?:\[.*\])?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the tools found in the files of one answer."""

    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By Python file that compiles: what ``facts`` says of it."""
    lint: float = 0
    """What ruff complains of in the files that compile, comments that would silence it left aside;
    infinity where they bring it down."""
    collected: frozenset[tuple[str, str]] = frozenset()
    """File and name of each test that pytest collects and that is written there."""


def check_tools() -> None:
    """Refuse to go on without ruff, pytest or a sandbox.

    Raises:
        UsageError: ruff or pytest is missing.
        SandboxError: generated code cannot be confined here, or pytest does not run confined.
    """
    missing = [name for name in ("ruff", "pytest") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"The metric developer_code needs {' and '.join(missing)}, which is not installed.",
            'Install it: pip install "baft[dev-role]".',
        )
    if examine(_SMALL).collected != {("tests/test_it.py", "test_it")}:
        raise SandboxError(
            "Pytest does not work in the sandbox.",
            'Install a usual one: pip install --force-reinstall "baft[dev-role]".',
        )


def examine(files: Mapping[str, str], limits: Limits | None = None) -> Findings:
    """Compile, lint and collect the Python files.

    Collecting imports the files and so runs their code; what it prints is believed only as far as
    the tests it names are written in the files.

    Raises:
        SandboxError: nothing can be run here.
    """
    if not any(name.endswith(".py") for name in files):
        return Findings()
    facts = _facts(files, limits)
    compiled = {name: files[name] for name in facts}
    return Findings(
        facts=facts,
        lint=_lint(compiled, limits) if compiled else 0,
        collected=_collected(files, facts, limits),
    )


def _facts(files: Mapping[str, str], limits: Limits | None) -> dict[str, dict[str, Any]]:
    tools = {"facts.py": Path(__file__).with_name("facts.py")}
    command = [python(), "-I", "-S", "-W", "ignore", f"{TOOLS}/facts.py"]
    found = {}
    for line in run(command, files, tools, limits).output.splitlines():
        if line.startswith('{"name"') and line.endswith("}"):
            fact = json.loads(line)
            if fact["error"] is None:
                found[fact["name"]] = fact
    return found


def _lint(files: Mapping[str, str], limits: Limits | None) -> float:
    from ruff.__main__ import find_ruff_bin  # type: ignore[import-untyped,unused-ignore]

    version = f"py{sys.version_info[0]}{sys.version_info[1]}"
    command = [f"{TOOLS}/ruff", "check", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero"]
    command += ["--select", RULES, "--line-length", "100", "--target-version", version]
    command += ["--output-format", "json-lines", "--quiet", "."]
    outcome = run(command, files, {"ruff": Path(find_ruff_bin())}, limits)
    if outcome.rc != 0:
        return math.inf
    return sum(line.startswith("{") for line in outcome.output.splitlines())


def _collected(
    files: Mapping[str, str], facts: Mapping[str, Mapping[str, Any]], limits: Limits | None
) -> frozenset[tuple[str, str]]:
    written = {(name, test) for name, fact in facts.items() for test in fact["tests"]}
    if not written:
        return frozenset()
    command = [python(), "-I", "-S", "-B", "-W", "ignore", "-c", _START, "--collect-only", "-q"]
    command += ["-c", "/dev/null", "--rootdir", ".", "--color=no"]
    command += ["-p", "no:cacheprovider", "--continue-on-collection-errors", "."]
    output = run(command, files, _site(), limits).output
    named = {(m[1], m[2]) for line in output.splitlines() if (m := _COLLECTED.fullmatch(line))}
    return frozenset(named & written)


def _site() -> dict[str, Path]:
    """Pytest's modules, to be shown inside."""
    found = {}
    for name in PYTEST:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            shown = origin.parent if origin.name == "__init__.py" else origin
            found[f"site/{shown.name}"] = shown
    return found
