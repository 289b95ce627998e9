"""DSPy programs in memory: built from a role's fields, digested, and saved as plain JSON."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import yaml
from dspy.utils.exceptions import AdapterParseError

from baft import DataError, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from baft import Role


class RoleProgram(dspy.Module):  # type: ignore[misc]  # dspy is not typed
    """One ``dspy.Predict`` named ``generate``, as in the pipeline's own modules."""

    def __init__(self, signature: Any) -> None:
        super().__init__()
        self.generate = dspy.Predict(signature)

    def forward(self, **inputs: Any) -> Any:
        """Ask once; of an answer that does not parse, keep the fields that do."""
        try:
            return self.generate(**inputs)
        except AdapterParseError as error:
            return dspy.Prediction(**(error.parsed_result or {}))


def build(role: Role, instructions: str | None = None) -> RoleProgram:
    """The program of a role: its fields, and its task as the instructions unless others are given.

    >>> from types import SimpleNamespace as S
    >>> role = S(task="Echo.", inputs=(S(name="q", description="a word"),),
    ...          outputs=(S(name="a", description="the same word"),))
    >>> build(role).generate.signature.instructions
    'Echo.'
    """
    fields = {f.name: (str, dspy.InputField(desc=f.description)) for f in role.inputs}
    fields |= {f.name: (str, dspy.OutputField(desc=f.description)) for f in role.outputs}
    return RoleProgram(dspy.Signature(fields, role.task if instructions is None else instructions))


def as_text(value: Any) -> str:
    """A field's value as a model would write it: text as it is, anything else as YAML."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000).strip()


def state_of(program: Any) -> dict[str, Any]:
    """All that makes a program render what it renders, as JSON: instructions, fields, demos."""
    state = program.generate.dump_state()
    return {"signature": state["signature"], "demos": state["demos"]}


def components_of(program: Any, role: Role) -> dict[str, Any]:
    """The program in the shape of the pipeline's ``program_components.json``."""
    signature = program.generate.signature
    fields = {
        name: {
            "type": "input" if name in signature.input_fields else "output",
            "desc": field.json_schema_extra["desc"],
        }
        for name, field in signature.fields.items()
    }
    generate = {
        "type": "Predict",
        "instructions": signature.instructions,
        "fields": fields,
        "demos": state_of(program)["demos"],
    }
    return {"role": role.name, "type": type(program).__name__, "modules": {"generate": generate}}


def save(program: Any, role: Role, folder: Path) -> None:
    """Write ``program.json`` and ``program_components.json``, each whole or not at all.

    Raises:
        DataError: the folder cannot be written.
    """
    components = components_of(program, role)
    write_json(folder / "program_components.json", components)
    with _replacing(folder / "program.json") as temporary:
        program.save(temporary)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON so that ``path`` holds either its old bytes or all of the new ones."""
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    with _replacing(path) as temporary:
        # a lone surrogate becomes its JSON escape
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            yield Path(folder) / path.name
            os.replace(Path(folder) / path.name, path)
    except OSError as error:
        raise DataError(
            f"{path} could not be written: {error.strerror or error}.",
            "Free some space or choose another --output.",
        ) from error


def program_sha256(program: Any) -> str:
    """Digest of everything that the program renders."""
    return digest(state_of(program))
