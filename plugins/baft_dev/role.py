"""The developer: from one story to source files with their tests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from baft import Example, Field, Message, Prediction, Prompt, example_id
from baft.parsing.briefs import flat
from baft.parsing.documents import as_yaml
from baft.parsing.fences import after_thoughts, sections
from baft.parsing.pieces import load
from baft.parsing.rows import kind, required_text, row_id

from .files import in_fences, read_entries, written

if TYPE_CHECKING:
    from baft import Extraction, Generation, Validity

TASK = "You are a software developer. Write Python code and its tests for the story."

INPUTS = (
    Field(name="story", description="the user story, with its acceptance criteria, as YAML"),
    Field(name="architecture", description="what the code has to fit into; may be empty"),
)

OUTPUTS = (
    Field(
        name="code_files",
        description="all files, each in a fenced block with its path behind the language "
        "(```python app/cart.py); Python 3 standard library only; tests in tests/test_*.py for "
        "pytest, at least one for each public function; docstrings",
        kind="list",
    ),
)

_SENT = re.compile(
    r"\s*STORY \(YAML\):\s*```yaml\n(?P<story>.+?)\n[ \t]*```"
    r"\s*REPO TREE[^\n]*\n[ \t]*```\n(?P<tree>.*?)[ \t]*```",
    re.DOTALL,
)
"""What the pipeline sends its developer (``scripts/run_dev.py``, commit 5d3a039)."""

INSTRUCTION = f"{TASK}\n\nAnswer with {OUTPUTS[0].description}."
"""Shared by all examples and sent first, so that a backend can keep its prefix."""


class Developer:
    """The role ``dev``."""

    name = "dev"
    task = TASK
    inputs: tuple[Field, ...] = INPUTS
    outputs: tuple[Field, ...] = OUTPUTS
    metric = "developer_code"
    answer_label = "json FILES"

    def example(self, row: Mapping[str, Any]) -> Example:
        """Read one line of a dataset.

        ``{"story", "architecture", "code_files": [{"path", "content"}]}``, also apart under
        ``input`` and ``output``. The story is YAML text or a mapping, or what the pipeline sends:
        a story and the repository's files, which become the architecture, in fenced blocks.
        Everything else becomes tags.

        Raises:
            ValueError: saying what is wrong with it.
        """
        tags = flat(row)
        given = tags.pop("id", None)
        if isinstance(tags.get("story"), Mapping):
            tags["story"] = as_yaml(dict(tags["story"]))
        story = required_text(tags, "story")
        architecture = tags.pop("architecture", None) or ""
        sent = _SENT.match(story)
        if sent is not None and not architecture:
            story, architecture = sent["story"].strip(), f"Files so far:\n{sent['tree'].strip()}"
        if not isinstance(architecture, str):
            raise ValueError(f"the architecture is {kind(architecture)}, not text")
        del tags["story"]
        inputs = {"story": story, "architecture": architecture}
        reference = None
        if tags.get("code_files") is not None:
            reference = {"code_files": _files(tags.pop("code_files"))}
        return Example(
            id=example_id({"story": story}) if given is None else row_id(given),
            inputs=inputs,
            reference=reference,
            tags=tags,
        )

    def prompt(self, example: Example) -> Prompt:
        """One user message; its head is the same for every example."""
        content = f"{INSTRUCTION}\n\nStory:\n{example.inputs['story'].strip()}"
        architecture = str(example.inputs.get("architecture") or "").strip()
        if architecture:
            content += f"\n\nArchitecture:\n{architecture}"
        return Prompt(
            example_id=example.id,
            inputs=example.inputs,
            messages=(Message(role="user", content=content),),
        )

    def target(self, example: Example) -> str:
        """The reference's files as fenced blocks.

        Raises:
            ValueError: the example has no reference.
        """
        if example.reference is None:
            raise ValueError(f"example {example.id} has no code_files to learn from")
        return written(example.reference["code_files"])

    def parse(self, generation: Generation, extraction: Extraction) -> Prediction:
        """Read the files: fenced blocks, or JSON with ``path`` and ``content`` (or ``code``).

        ``strict`` takes an answer that is nothing but files; ``lenient`` takes prose and thoughts
        away and looks for paths above a block or in its first comment. Files with a name that
        leads out of the project are left out of both. A replayed object stays as it is.
        """
        if generation.fields is None:
            return _read(generation.text, extraction)
        value = generation.fields.get("code_files")
        if generation.text and isinstance(value, str):
            return _read(value, extraction)
        files, refused = read_entries(value)
        validity: Validity = "none" if not files else "extracted" if refused else "as_is"
        return Prediction(fields=dict(generation.fields), validity=validity)

    def pipeline_blocks(self, prediction: Prediction) -> dict[str, str]:
        """The files as JSON with ``path`` and ``code``, what is no test first.

        The pipeline writes the first of them only, and asks again for the next. Its reader takes
        an object to end at the first brace that closes, so there is none within the texts.
        """
        files, _ = read_entries(prediction.fields.get("code_files"))
        paths = sorted(files, key=lambda path: path.rpartition("/")[2].startswith("test_"))
        entries = (f'{{"path": {_quoted(path)}, "code": {_quoted(files[path])}}}' for path in paths)
        return {self.answer_label: "[" + ",\n".join(entries) + "]"}


def _quoted(text: str) -> str:
    r"""JSON text in which braces and backticks are written as escapes.

    >>> print(_quoted("x = {}"))
    "x = \u007b\u007d"
    """
    return re.sub(r"[{}`]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text))


def _read(text: str, extraction: Extraction) -> Prediction:
    marked = sections(text).get("code_files")
    found, clean = _found(text if marked is None else marked)
    if not found and extraction == "lenient":
        found, clean = _found(after_thoughts(text))[0], False
    files, refused = read_entries(found)
    clean = clean and not refused
    if not files or (extraction == "strict" and not clean):
        return Prediction(fields={}, validity="none")
    fields = {"code_files": [{"path": path, "content": files[path]} for path in files]}
    return Prediction(fields=fields, validity="as_is" if clean else "extracted")


def _found(text: str) -> tuple[list[Any], bool]:
    """The files of a text that is JSON or holds fenced blocks, and whether it is nothing else."""
    entries = _entries(load(text)) if text.lstrip()[:1] in ("{", "[") else []
    if entries:
        return entries, True
    blocks, clean = in_fences(after_thoughts(text))
    inside = [entry for block in blocks for entry in _entries(load(block["content"]))]
    if inside and not any(block["path"] for block in blocks):
        return inside, False
    named = [block for block in blocks if block["path"]]
    return named, clean and len(named) == len(blocks) and "</think>" not in text


def _entries(data: Any) -> list[Any]:
    """The entries with a path in JSON of a known shape."""
    if isinstance(data, Mapping):
        data = data.get("code_files", data.get("files", [data]))
    if not isinstance(data, list):
        return []
    return [entry for entry in data if isinstance(entry, Mapping) and "path" in entry]


def _files(value: Any) -> list[dict[str, str]]:
    """The reference's files, each with a newline at its end."""
    if not isinstance(value, list):
        raise ValueError(f"code_files is {kind(value)}, not a list")
    files, refused = read_entries(value)
    if refused or not files:
        raise ValueError("code_files holds an entry without a safe path and a text, or none at all")
    return [
        {"path": path, "content": content if content.endswith("\n") else f"{content}\n"}
        for path, content in files.items()
    ]
