"""The fenced blocks of a page, and what the comments above them say about running them.

``sh`` blocks are commands. A comment on the line above a fence may say, separated by ``;``::

    <!-- exit: 3 or 4 -->        the exit code must be one of these (otherwise 0)
    <!-- with: --max-steps 2 --> added to the block's last line, so that it takes seconds
    <!-- not run: REASON -->     a command that no test can run
    <!-- file: NAME -->          the block is the content of this file
    <!-- output -->              what the commands before it print, … standing for anything

``<!-- page: slow -->`` anywhere leaves a page to the slow tests, and ``<!-- page: ollama -->``
gives it an Ollama server.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"^(?:<!-- (?P<notes>[^\n]*) -->\n+)?```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```$", re.M | re.S
)
PAGE = re.compile(r"<!-- page: (\w+) -->")
KINDS = {"sh", "text", "python", "toml", "yaml", "json", "jsonl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block."""

    line: int
    kind: str
    text: str
    notes: dict[str, str]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    source = page.read_text(encoding="utf-8")
    return [
        Block(
            line=source[: found.start("text")].count("\n") + 1,
            kind=found["kind"],
            text=found["text"],
            notes=_notes(found["notes"] or ""),
        )
        for found in FENCE.finditer(source)
    ]


def of_page(page: Path) -> set[str]:
    """What a page says about itself: ``slow``, ``ollama``."""
    return set(PAGE.findall(page.read_text(encoding="utf-8")))


def run(page: Path, folder: Path, **more: str) -> list[str]:
    """Do what a page says, in a folder; returns what its commands printed, stderr included."""
    printed: list[str] = []
    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        if "file" in block.notes:
            target = folder / block.notes["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif "output" in block.notes:
            assert printed, f"{where}: nothing printed this"
            assert matches(block.text, printed[-1]), f"{where} is not in:\n{printed[-1]}"
        elif block.kind == "sh" and "not run" not in block.notes:
            allowed = [int(code) for code in block.notes.get("exit", "0").split(" or ")]
            code, text = _shell(block.text, block.notes.get("with", ""), folder, more)
            assert code in allowed, f"{where} ended with {code}:\n{text[-4000:]}"
            printed.append(text)
    return printed


def matches(shown: str, printed: str) -> bool:
    """Is what a page shows a part of what was printed, spaces aside?

    >>> matches("KEEP …\\nNext …", "a\\nKEEP   BASELINE\\nso\\nNext steps\\nz")
    True
    >>> matches("KEEP\\nNext", "KEEP\\nso\\nNext")
    False
    """
    parts = (re.escape(" ".join(part.split())) for part in shown.split("…"))
    return re.search(".*".join(parts), " ".join(printed.split())) is not None


def _notes(text: str) -> dict[str, str]:
    pairs = (one.partition(":") for one in text.split(";") if one.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _shell(text: str, more: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: os.environ[name] for name in ("LANG", "OMP_NUM_THREADS") if name in os.environ}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{text.rstrip()} {more}".rstrip()],
        cwd=folder,
        env={"PATH": programs, "HOME": str(folder), "COLUMNS": "80", **kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
