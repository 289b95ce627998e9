"""Says what Python files hold without running them; runs in the sandbox, as a script.

One JSON line for each file, at once, so that a file that brings the compiler down costs the files
behind it alone: compiled or not, imports, functions, tests, names.
"""

from __future__ import annotations

import ast
import json
import pathlib
import sys
from typing import Any

RAISES = ("raises", "warns", "fail")
"""Calls by name that can fail a test, besides ``assert`` and ``assert…``."""


def main() -> None:
    """Look at every Python file below the current folder."""
    for path in sorted(pathlib.Path().rglob("*.py")):
        line = json.dumps({"name": str(path), **facts(path.read_bytes())})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def facts(source: bytes) -> dict[str, Any]:
    """What one file holds; nothing but ``error`` where it does not compile."""
    try:
        tree = ast.parse(source)
        compile(source, "answer", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"error": type(error).__name__}
    nodes = list(ast.walk(tree))
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    defined = [n for n in (*functions, *nodes) if isinstance(n, ast.ClassDef) or n in functions]
    public = {n.name: n for n in defined if not n.name.startswith("_")}
    return {
        "error": None,
        "imports": sorted(imports(nodes)),
        "functions": sorted({n.name for n in functions if not n.name.startswith("_")}),
        "public": sorted(public),
        "documented": sorted(name for name, n in public.items() if ast.get_docstring(n)),
        "tests": {n.name: can_fail(n) for n in functions if n.name.startswith("test")},
        "names": sorted(names(nodes)),
        "bodies": [ast.dump(ast.Module(n.body, [])) for n in functions if len(n.body) > 1],
    }


def imports(nodes: list[ast.AST]) -> set[str]:
    """The top modules that are imported, relative ones aside."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


def can_fail(test: ast.AST) -> bool:
    """Does the test assert anything?"""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in RAISES or name.startswith("assert"):
                return True
    return False


def names(nodes: list[ast.AST]) -> set[str]:
    """Every identifier: what is defined, used, taken as an argument or looked up."""
    found = set()
    for node in nodes:
        for key in ("name", "id", "arg", "attr"):
            value = getattr(node, key, None)
            if isinstance(value, str):
                found.add(value)
    return found


if __name__ == "__main__":
    main()
