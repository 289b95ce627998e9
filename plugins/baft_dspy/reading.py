"""DSPy programs from disk: found, read as plain data and checked against the role.

Files are untrusted: only instructions, field descriptions and demos are taken from them, never
code, attributes or the settings of a language model.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from baft import DataError

from . import FILES
from .program import build

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from baft import Role

    from .program import RoleProgram

LARGEST = 16 * 1024 * 1024
"""Bytes of a file that is read; a program is a few pages of text."""

MARKS = frozenset({"augmented"})
"""What DSPy notes in a demonstration beside the values of its fields."""


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
    _check_size(path)
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


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > LARGEST:
        raise DataError(
            f"{path} has {size / 1e6:.1f} MB, too much for a program: at most {LARGEST / 1e6:.1f}.",
            "Name the file of a program; a saved model is opened with hf: or lora:.",
        )


def _other(path: Path) -> str:
    """What to try in place of a broken file."""
    other = next((n for n in FILES if n != path.name and (path.parent / n).is_file()), None)
    return f"Try dspy:{path.parent / other}, or optimize again." if other else "Optimize again."


def _read_json(path: Path) -> Any:
    try:
        raw = path.read_bytes()
        if not raw.strip():
            raise ValueError("it is empty")
        return json.loads(raw.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}.", _other(path)) from error


def _unpickle(path: Path) -> Any:
    import cloudpickle  # type: ignore[import-untyped]

    try:
        with path.open("rb") as stream:
            value = cloudpickle.load(stream)
        return value if isinstance(value, dict) else value.dump_state()
    except Exception as error:  # border: plugin call, as a pickle runs code from elsewhere
        raise DataError(
            f"{path} ({path.stat().st_size} bytes) could not be unpickled: "
            f"{type(error).__name__}: {error}.",
            f"Pickled programs break between versions. {_other(path)}",
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
    saved = _mapping(module["fields"], "fields")
    if set(saved) != set(own):
        raise ValueError(f"its fields are {_names(saved)}, the role's are {_names(own)}")
    for name, field in saved.items():
        described = _mapping(field, f"field {name}")
        kind = "input" if name in program.generate.signature.input_fields else "output"
        if described.get("type", kind) != kind:
            raise ValueError(f"its field {name} is {described['type']!r}, the role's an {kind}")
        if described.get("desc") is not None:
            own[name].json_schema_extra["desc"] = _text(described["desc"], "desc")
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
        keys = set(_mapping(demo, f"demo {number}"))
        if unknown := sorted(keys - set(fields) - MARKS):
            raise ValueError(f"demo {number} has {_names(unknown)}, the role {_names(fields)}")
        if not keys & set(fields):
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


TOLD = (
    "optimizer",
    "date",
    "result",
    "improved",
    "baseline_score",
    "best_score",
    "best_trial",
    "program_sha256",
)
"""What an arm tells of its search; the file beside the program holds the rest."""

TOLD_OF_DATA = ("selected_on", "select_on_val", "train_dataset", "train_sha256", "val_sha256")
"""The same of the examples, which may stand among the arguments."""

TOLD_OF_TRIALS = ("trial", "score", "examples", "failures", "full")


def search_beside(path: Path, sha256: str) -> dict[str, Any]:
    """The search that made the program: the facts that a report shows; empty where none is told.

    Args:
        path: the program's file.
        sha256: digest of the program as it was loaded; another one was changed since.
    """
    try:
        info = info_beside(path)
    except DataError as error:
        return {"problem": error.message}
    if not info:
        return {}
    arguments = info.get("arguments")
    data = {**(arguments if isinstance(arguments, dict) else {}), **info}
    rows = info.get("trials")
    trials = [
        {name: row[name] for name in TOLD_OF_TRIALS if name in row}
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
    ]
    return {
        **{name: info[name] for name in TOLD if name in info},
        **{name: data[name] for name in TOLD_OF_DATA if name in data},
        "changed_since": info.get("program_sha256", sha256) != sha256,
        "trials": trials,
    }
