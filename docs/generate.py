"""Writes the reference pages that follow from the code: commands, hooks, records.

    .venv/bin/python docs/generate.py

A test says so when a page is not what this would write.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from baft import hookspecs, protocols
from baft.cli import app
from baft.cli.common import Exit

DOCS = Path(__file__).parent
SCHEMAS = Path(inspect.getfile(protocols)).parent / "schemas"
MADE = "<!-- Written by docs/generate.py: change the code, not this page. -->"
MEANINGS = {
    Exit.DONE: "done; with `--exit-code`: promote",
    Exit.BUG: "a bug in baft, with its traceback",
    Exit.USAGE: "usage or bad input",
    Exit.KEEP: "keep: with `--exit-code`, and from `baft decide`; `baft status`: drift",
    Exit.UNSETTLED: "keep, because the evidence does not settle it",
    Exit.INCOMPLETE: "the run could not be completed",
    Exit.INTERRUPTED: "interrupted; `--resume` goes on",
}


def pages() -> dict[Path, str]:
    """Every generated page, by its file."""
    folder = DOCS / "reference"
    return {
        folder / "commands.md": "\n".join(_commands()),
        folder / "hooks.md": "\n".join(_hooks()),
        folder / "records.md": "\n".join(_records()),
    }


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", MADE, "")
    yield "Every command takes `--project DIR`, `--no-plugin NAME`, `-v` and `-q`, at any place."
    yield from ("Results go to stdout, progress and warnings to stderr.", "")
    yield from ("## Exit codes", "", "| code | means |", "| ---: | --- |")
    yield from (f"| {code.value} | {MEANINGS[code]} |" for code in Exit)
    group = typer.main.get_command(app)
    context: Any = group.context_class(group, info_name="baft")  # type: ignore[arg-type]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        yield from _command(name, command, context, "##")


def _command(name: str, command: Any, parent: Any, heading: str) -> Iterator[str]:
    context = command.context_class(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from ("", f"{heading} `{context.command_path}`", "", inspect.cleandoc(command.help or ""))
    yield from ("", "```text", usage, "```")
    rows = [p.get_help_record(context) for p in command.params]
    known = [row for row in rows if row is not None]
    if known:
        yield from ("", "| argument or option | says |", "| --- | --- |")
        yield from (f"| `{_cell(names)}` | {_cell(said)} |" for names, said in known)
    for below, inner in getattr(command, "commands", {}).items():
        yield from _command(below, inner, context, heading + "#")


def _hooks() -> Iterator[str]:
    yield from ("# Hooks and protocols", "", MADE, "")
    yield from (_text(hookspecs.__doc__).split("\n\n", 1)[1], "")
    yield "A plugin is a module behind an entry point of the group `baft`; it marks its functions"
    yield "with `@baft.hookimpl` and names only the arguments that it wants."
    yield from ("", "## Hooks")
    for node in _body(hookspecs):
        if isinstance(node, ast.FunctionDef):
            yield from ("", f"### `{node.name}`", "", *_function(node))
    yield from ("", "## Protocols", "")
    yield "What a factory returns. A class satisfies one by having its members; there are no bases."
    for node in _body(protocols):
        if isinstance(node, ast.ClassDef):
            yield from ("", f"### `{node.name}`", "", _text(ast.get_docstring(node)), "")
            yield from _members(node)


def _body(module: ModuleType) -> list[ast.stmt]:
    return ast.parse(inspect.getsource(module)).body


def _members(kind: ast.ClassDef) -> Iterator[str]:
    for node, after in zip_longest(kind.body, kind.body[1:]):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            said = _text(ast.literal_eval(after.value))
            yield from (
                f"`{ast.unparse(node.target)}: {ast.unparse(node.annotation)}`",
                "",
                said,
                "",
            )
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(ast.unparse(one) == "property" for one in node.decorator_list) and node.returns:
                said = _text(ast.get_docstring(node))
                yield from (f"`{node.name}: {ast.unparse(node.returns)}`", "", said, "")
            elif node.name == "__call__" or not node.name.startswith("_"):
                yield from (*_function(node), "")


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    bare = copy.copy(node)
    bare.body, bare.decorator_list = [ast.Expr(ast.Constant(...))], []
    line = " ".join(ast.unparse(bare).split())
    line = line.replace("=", " = ").replace("'", '"')  # as the formatter writes defaults
    if len(line) > 88:
        head, rest = line.split("(", 1)
        arguments, returned = rest.rsplit(") ->", 1)
        inner = re.sub(r", (?![^\[]*\])", ",\n    ", arguments)
        line = f"{head}(\n    {inner},\n) ->{returned}"
    return ("```python", line, "```", "", _text(ast.get_docstring(node)))


def _records() -> Iterator[str]:
    yield from ("# Records in report.json and decision.json", "", MADE, "")
    yield "The JSON Schemas themselves: [report.json](schemas/report.json),"
    yield "[decision.json](schemas/decision.json). Times are seconds, shares lie between 0 and 1."
    known: dict[str, Any] = {}
    for name in ("decision", "report"):
        schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
        known |= schema["$defs"]
        yield from ("", f"## {name}.json", "", *_said(schema))
        yield from _keys(schema)
    for name, schema in sorted(known.items()):
        yield from ("", f"## {name}", "", *_said(schema))
        yield from _keys(schema)


def _said(schema: dict[str, Any]) -> tuple[str, ...]:
    return (_text(schema["description"]), "") if "description" in schema else ()


def _keys(schema: dict[str, Any]) -> Iterator[str]:
    yield from ("| key | type | says |", "| --- | --- | --- |")
    for key, value in schema["properties"].items():
        yield f"| `{key}` | {_type(value)} | {_cell(value.get('description', ''))} |"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(one)}`" for one in schema["enum"])
    kinds = schema.get("type", "anything")
    if kinds == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    if kinds == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(schema['additionalProperties'])}"
    return " or ".join(kinds) if isinstance(kinds, list) else kinds


def _text(doc: str | None) -> str:
    """A docstring as Markdown: double backticks become single, sections lists."""
    text = inspect.cleandoc(doc or "").replace("``", "`")
    lines: list[str] = []
    for line in text.splitlines():
        if re.fullmatch(r"(Args|Returns|Raises):", line):
            lines += [f"**{line}**", ""]
        elif re.match(r"    \S", line):
            lines.append(f"- {line.strip()}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith("     ") else line)
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text.rstrip() + "\n", encoding="utf-8")
        print(path.relative_to(DOCS.parent))
