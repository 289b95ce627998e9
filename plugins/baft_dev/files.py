"""The files of an answer: how they are written, read, and checked before anything touches them.

One fenced block for each file, its path behind the language::

    ```python app/cart.py
    def total(prices): ...
    ```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from baft.parsing.fences import FENCE

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_FILES = 40
MOST_CHARS = 400_000
"""Of all files together; 2048 tokens are about 10,000."""
LONGEST_NAME = 200

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(rf"{_PART}(?:/{_PART}){{0,9}}")
_IN_PROSE = re.compile(rf"(?<![\w/.\\-])(?:\./)?((?:{_PART}/)*{_PART}\.[A-Za-z]{{1,5}})(?![\w/\\])")
_LANGUAGES = {"py": "python", "js": "javascript", "ts": "typescript", "md": "markdown"}


def is_safe(name: object) -> bool:
    """May a file be called so? Relative, below the project's folder, in plain characters.

    >>> [is_safe(name) for name in ("app/cart.py", "/etc/passwd", "../x.py", "a//b", ".git/x")]
    [True, False, False, False, False]
    """
    return isinstance(name, str) and len(name) <= LONGEST_NAME and bool(_NAME.fullmatch(name))


def read_entries(value: Any) -> tuple[dict[str, str], int]:
    """Content by path of a list of ``{"path", "content"}`` (or ``code``), and how many are refused.

    Refused is what has no safe name, no text, a name that was there before (as a file or as a
    folder), and what is beyond the limits.

    >>> read_entries([{"path": "a.py", "code": "x = 1"}, {"path": "../b.py", "content": ""}])
    ({'a.py': 'x = 1'}, 1)
    """
    entries = value if isinstance(value, list) else [value] if isinstance(value, Mapping) else []
    files: dict[str, str] = {}
    chars = 0
    for entry in entries[:MOST_FILES]:
        path, content = _entry(entry)
        taken = {*files, *(folder for name in files for folder in _folders(name))}
        if (
            not is_safe(path)
            or content is None
            or path in taken
            or taken & _folders(path) & {*files}
        ):
            continue
        chars += len(content)
        if chars > MOST_CHARS:
            break
        files[path] = content
    return files, len(entries) - len(files)


def _entry(entry: Any) -> tuple[str, str | None]:
    if not isinstance(entry, Mapping):
        return "", None
    path, content = entry.get("path"), entry.get("content", entry.get("code"))
    if not isinstance(path, str) or not isinstance(content, str):
        return "", None
    return path.removeprefix("./"), content


def _folders(name: str) -> set[str]:
    """The folders that a path goes through.

    >>> sorted(_folders("a/b/c.py"))
    ['a', 'a/b']
    """
    parts = name.split("/")[:-1]
    return {"/".join(parts[: end + 1]) for end in range(len(parts))}


def written(files: Iterable[Mapping[str, Any]]) -> str:
    """The files as fenced blocks, as a model is taught to write them; no newline at the end."""
    blocks = []
    for file in files:
        ticks = max((len(run) for run in re.findall("`+", file["content"])), default=0)
        fence = "`" * max(3, ticks + 1)
        ending = file["path"].rpartition(".")[2]
        language = _LANGUAGES.get(ending, ending)
        blocks.append(f"{fence}{language} {file['path']}\n{file['content']}{fence}")
    return "\n\n".join(blocks)


def in_fences(text: str) -> tuple[list[dict[str, str]], bool]:
    r"""The files in the fenced blocks of a text, and whether there is nothing else in it.

    The path stands behind the language; else in the line above, or in a comment that opens the
    block, and then the text is not as it should be.

    >>> in_fences("```python a.py\nx = 1\n```")
    ([{'path': 'a.py', 'content': 'x = 1\n'}], True)
    >>> in_fences("In `a.py`:\n```python\nx = 1\n```")
    ([{'path': 'a.py', 'content': 'x = 1\n'}], False)
    """
    found: list[dict[str, str]] = []
    clean = True
    fence = info = above = ""
    body: list[str] = []
    for line in [*text.splitlines(keepends=True), None]:
        mark = FENCE.match(line) if line is not None else None
        ends = mark is not None and mark[1].startswith(fence) and not mark[2].strip()
        if fence and (line is None or ends):
            path = _path(info)
            clean = clean and bool(path) and line is not None
            path = path or _named(above) or _named(body[0] if body else "", comment=True)
            clean = clean and is_safe(path)
            found.append({"path": path, "content": "".join(body)})
            fence = above = ""
        elif fence:
            body.append(line or "")
        elif mark:
            fence, info, body = mark[1], mark[2], []
        elif line is not None and line.strip():
            clean, above = False, line
    return found, clean and bool(found)


def _path(info: str) -> str:
    """The path in an info string, such as ``python app/cart.py`` or ``python title="cart.py"``."""
    words = info.split()
    if not words:
        return ""
    path = re.sub(r"^\w+[=:]", "", words[-1]).strip("\"'")
    is_path = len(words) > 1 or "." in path or "/" in path
    return path.removeprefix("./") if is_path else ""


def _named(line: str, *, comment: bool = False) -> str:
    """The path that a line names; of a comment, only if the line is one."""
    if comment and not line.lstrip().startswith(("#", "//")):
        return ""
    found = _IN_PROSE.search(line)
    return found[1] if found else ""
