"""DSPy programs on disk and in memory: built from a role's fields, saved and loaded as plain JSON.

Files are untrusted: only instructions, field descriptions and demos are read from them, never code,
attributes or the settings of a language model.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dspy
import yaml
from dspy.utils.exceptions import AdapterParseError

from baft import DataError, UsageError, digest

from . import FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from baft import Role

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts of a recorded model that need no confirmation."""


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


def find(path: Path, *, allow_pickle: bool = False) -> Path:
    """The program file that a ``dspy:`` target names.

    Raises:
        DataError: there is none, or only a pickle.
    """
    if path.is_dir():
        found = next((path / name for name in FILES if (path / name).is_file()), None)
        if found is not None:
            return found
        pickles = sorted(p.name for p in path.glob("*.pkl"))
        if pickles:
            raise DataError(
                f"{path} holds {', '.join(pickles)} but no program.json or "
                "program_components.json; pickles run code and are not looked at.",
                f"Save the program as JSON, or name the file: dspy:{path / pickles[0]} "
                "with --allow-pickle.",
            )
        raise DataError(
            f"{path} holds neither program.json nor program_components.json.",
            "Make one with `baft optimize`, or name the file itself.",
        )
    if not path.is_file():
        raise DataError(f"The DSPy program {path} does not exist.", "Make it: `baft optimize`.")
    if path.suffix != ".json" and not allow_pickle:
        raise DataError(
            f"{path} is not a .json file; a pickled program runs code when it is loaded.",
            "Save it as JSON, or add --allow-pickle if you trust whoever made it.",
        )
    return path


def load(path: Path, role: Role) -> RoleProgram:
    """The role's program with the instructions, descriptions and demos of the file.

    Args:
        path: a file that ``find`` answered.
        role: whose program it must be.

    Raises:
        DataError: naming the file and what is wrong with it.
    """
    data = _read_json(path) if path.suffix == ".json" else _unpickle(path)
    try:
        if not isinstance(data, dict):
            raise ValueError(f"it holds {_kind(data)}, not an object")
        if "modules" in data:
            return _from_components(data, role)
        return _from_state(data, role)
    except (ValueError, KeyError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path} is not a program for the role {role.name!r}: {reason}.",
            "Check --role, or optimize again for this role.",
        ) from error


def _read_json(path: Path) -> Any:
    try:
        raw = path.read_bytes()
        if not raw.strip():
            raise ValueError("it is empty")
        return json.loads(raw.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        other = next((n for n in FILES if n != path.name and (path.parent / n).is_file()), None)
        hint = f"Try dspy:{path.parent / other}, or optimize again." if other else "Optimize again."
        raise DataError(f"{path} is not valid JSON: {error}.", hint) from error


def _unpickle(path: Path) -> Any:
    import cloudpickle  # type: ignore[import-untyped]

    try:
        with path.open("rb") as stream:
            value = cloudpickle.load(stream)
        return value if isinstance(value, dict) else value.dump_state()
    except Exception as error:  # border: a pickle can raise anything
        raise DataError(
            f"{path} ({path.stat().st_size} bytes) could not be unpickled: "
            f"{type(error).__name__}: {error}.",
            "Pickled programs break between versions; save the program as JSON.",
        ) from error


def _from_state(data: Mapping[str, Any], role: Role) -> RoleProgram:
    """DSPy's own state: predictors by dotted name, or a bare predictor."""
    if "signature" in data:
        state = data
    else:
        modules = {key: value for key, value in data.items() if _is_predictor(value)}
        state = modules[_module_key(modules, role)]
    signature = _mapping(state["signature"], "signature")
    fields = signature["fields"]
    if not isinstance(fields, list):
        raise ValueError(f"its fields are {_kind(fields)}, not a list")
    program = build(role, _text(signature["instructions"], "instructions"))
    own = program.generate.signature.fields
    prefixes = [_mapping(field, "field")["prefix"] for field in fields]
    expected = [field.json_schema_extra["prefix"] for field in own.values()]
    if prefixes != expected:
        raise ValueError(f"its fields are {_names(prefixes)}, the role's are {_names(expected)}")
    for field, saved in zip(own.values(), fields, strict=True):
        field.json_schema_extra["desc"] = _text(saved["description"], "description")
    program.generate.demos = _demos(state.get("demos", []), own)
    return program


def _from_components(data: Mapping[str, Any], role: Role) -> RoleProgram:
    """The pipeline's shape: ``{"role", "type", "modules": {KEY: {…}}}``."""
    named = data.get("role")
    if named is not None and named != role.name and not role.name.startswith(f"{named}_"):
        raise ValueError(f"it was made for the role {named!r}")
    modules = _mapping(data["modules"], "modules")
    module = _mapping(modules[_module_key(modules, role)], "module")
    program = build(role, _text(module["instructions"], "instructions"))
    own = program.generate.signature.fields
    saved = _mapping(module.get("fields") or {}, "fields")
    if saved and set(saved) != set(own):
        raise ValueError(f"its fields are {_names(saved)}, the role's are {_names(own)}")
    for name, field in saved.items():
        desc = _mapping(field, f"field {name}").get("desc")
        if desc is not None:
            own[name].json_schema_extra["desc"] = _text(desc, "desc")
    program.generate.demos = _demos(module.get("demos") or [], own)
    return program


def _module_key(modules: Mapping[str, Any], role: Role) -> str:
    """The role's predictor: the only one, or the one whose dotted name carries the role's stage.

    >>> from types import SimpleNamespace
    >>> both = {"_stories.generate": {}, "_arch.generate": {}}
    >>> _module_key(both, SimpleNamespace(name="architect_stories"))
    '_stories.generate'
    """
    if not modules:
        raise ValueError("it holds no predictor")
    if len(modules) == 1:
        return next(iter(modules))
    stages = [key for key in modules if role.name.endswith(f"_{key.split('.')[0].strip('_')}")]
    plain = [key for key in ("generate", "predict") if key in modules]
    chosen = stages or plain
    if len(chosen) != 1:
        raise ValueError(f"it holds several predictors, {_names(modules)}, none of them the role's")
    return chosen[0]


def _is_predictor(value: Any) -> bool:
    return isinstance(value, dict) and "signature" in value


def _demos(demos: Any, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(demos, list):
        raise ValueError(f"its demos are {_kind(demos)}, not a list")
    for number, demo in enumerate(demos, 1):
        if not set(_mapping(demo, f"demo {number}")) & set(fields):
            raise ValueError(f"demo {number} has none of the role's fields")
    return [dict(demo) for demo in demos]


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"its {what} is {_kind(value)}, not an object")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"its {what} is {_kind(value)}, not a text")
    return value


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


def _names(names: Any) -> str:
    return ", ".join(str(name).rstrip(":") for name in names) or "none"


def info_beside(path: Path) -> Mapping[str, Any]:
    """What ``optimization_info.json`` beside the program says; empty where there is none.

    Raises:
        DataError: it is there but broken.
    """
    info = path.parent / "optimization_info.json"
    if not info.is_file():
        return {}
    data = _read_json(info)
    if not isinstance(data, dict):
        raise DataError(f"{info} holds {_kind(data)}, not an object.", "Optimize again.")
    return data


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


def program_sha256(program: Any) -> str:
    """Digest of everything that the program renders."""
    return digest(state_of(program))
