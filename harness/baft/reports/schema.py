"""JSON Schema of ``report.json`` and ``decision.json``, made from the records themselves.

The schemas are published as files in ``baft/schemas/``; after a change of the records

    python -m baft.reports.schema

writes them again, and until then a test fails.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .. import records
from ..store.codec import to_json
from ..store.files import write_atomic

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path(__file__).parents[1] / "schemas"
PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}

TEXT, NUMBER, WHOLE, TRUTH = ({"type": PLAIN[kind]} for kind in (str, float, int, bool))
ANYTHING: dict[str, Any] = {}

RENAMED = {
    "pass_rate_08": "pass_rate_0.8",
    "pass_rate_09": "pass_rate_0.9",
    "perfect_rate": "perfect_rate_1.0",
}
"""Keys of older three-way reports for an arm's aggregates."""


def decision_schema() -> dict[str, Any]:
    """The schema of ``decision.json``."""
    known: dict[str, Any] = {}
    _schema_of(records.Decision, known)
    return _document("decision.json", known.pop("Decision"), known)


def report_schema() -> dict[str, Any]:
    """The schema of ``report.json``; further keys may be added, so readers pass over them."""
    known: dict[str, Any] = {}
    decision, report = (_schema_of(kind, known) for kind in (records.Decision, records.Report))
    test = known["PairedTest"]
    more = {"p_value": _or_null(NUMBER), "significant": TRUTH}
    parts = {
        "metadata": _object(_metadata(known)),
        "models": _map(_object(_model(known))),
        "comparison": _object(
            {
                "winner": _or_null(TEXT),
                "baseline": TEXT,
                "ranking": _list(
                    _object(
                        {
                            "model": TEXT,
                            "name": TEXT,
                            "score": _or_null(NUMBER),
                            "delta_vs_baseline": _or_null(NUMBER),
                        }
                    )
                ),
                "statistical_tests": _map(_object({**test["properties"], **more})),
                "effect_sizes": _map(_or_null(NUMBER)),
            }
        ),
        "looks": _or_null(
            _object(
                {
                    **known["Looks"]["properties"],
                    "passes_once_at_the_bar": _or_null(NUMBER),
                    "passes_at_least_once": _or_null(NUMBER),
                    "assumption": TEXT,
                }
            )
        ),
        "decision": _or_null(decision),
        "notes": _list(TEXT),
        "record": report,
    }
    return _document("report.json", _object(parts), known)


def _metadata(known: dict[str, Any]) -> dict[str, Any]:
    report = known["Report"]["properties"]
    same = (
        *("date", "dataset", "dataset_sha256", "num_examples", "metric", "metric_version"),
        *("attainable_max", "component_max", "decoding", "extraction", "repeats", "role"),
        *("benchmark", "run_id", "floor", "ceilings"),
    )
    return {
        **{name: report[name] for name in same},
        "seed": WHOLE,
        "benchmark_version": WHOLE,
        "limit": _or_null(WHOLE),
        "policy": _schema_of(records.Policy, known),
        "versions": _map(TEXT),
        "platform": TEXT,
        "git_commit": TEXT,
    }


def _model(known: dict[str, Any]) -> dict[str, Any]:
    arm = known["ArmReport"]["properties"]
    summary = known["Summary"]["properties"]
    return {
        "id": TEXT,
        **{name: arm[name] for name in ("name", "spec", "fingerprint", "config")},
        "scores": _object({RENAMED.get(name, name): kind for name, kind in summary.items()}),
        "component_scores": arm["components"],
        **{name: arm[name] for name in ("validity", "usage", "audit", "selected_on")},
        "failures": arm["failed"],
        "predictions": _list(_object(_prediction(known), optional=("concept", "inputs"))),
    }


def _prediction(known: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": TEXT,
        "repeat": WHOLE,
        "concept": ANYTHING,
        "inputs": {"type": "object"},
        "prediction": {"type": ["object", "null"]},
        "score": _or_null(NUMBER),
        "components": _or_null(_map(NUMBER)),
        "other_score": _or_null(NUMBER),
        "validity": _or_null(_schema_of(records.Validity, known)),
        "finish_reason": _or_null(TEXT),
        "failure": _or_null(_schema_of(records.Failure, known)),
        "text": _or_null(TEXT),
    }


def _schema_of(kind: Any, known: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; records go to ``known`` and are referred to."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return ANYTHING
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _either([_schema_of(one, known) for one in arguments])
    if origin is tuple and arguments[1:] == (...,):
        return _list(_schema_of(arguments[0], known))
    if origin is tuple:
        inner = [_schema_of(one, known) for one in arguments]
        return {"type": "array", "prefixItems": inner, "minItems": len(inner), "items": False}
    if origin is Mapping:
        return _map(_schema_of(arguments[1], known))
    if is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in known:
            known[kind.__name__] = {}  # a record may hold itself
            known[kind.__name__] = _record(kind, known)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    raise TypeError(f"{kind} has no JSON Schema yet")


def _record(kind: type, known: dict[str, Any]) -> dict[str, Any]:
    hints, said = get_type_hints(kind), _sentences(kind)
    properties, optional = {}, []
    for one in fields(kind):
        found = _schema_of(hints[one.name], known)
        note = said.get(one.name)
        properties[one.name] = {"description": note, **found} if note else found
        if one.default is not MISSING or one.default_factory is not MISSING:
            optional.append(one.name)
    described = {"description": inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]}
    return described | _object(properties, optional=optional) | {"additionalProperties": False}


def _sentences(kind: type) -> dict[str, str]:
    """The sentence under each field of a record, from its source."""
    (found,) = ast.parse(inspect.getsource(kind)).body
    body = found.body if isinstance(found, ast.ClassDef) else []
    return {
        name.target.id: inspect.cleandoc(str(said.value.value))
        for name, said in pairwise(body)
        if isinstance(name, ast.AnnAssign)
        and isinstance(name.target, ast.Name)
        and isinstance(said, ast.Expr)
        and isinstance(said.value, ast.Constant)
    }


def _document(name: str, schema: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    head = {"$schema": DIALECT, "title": f"{name} of a baft run"}
    return {**head, **schema, "$defs": dict(sorted(known.items()))}


def _object(properties: dict[str, Any], optional: Any = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _map(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return _either([schema, {"type": "null"}])


def _either(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    if all(set(schema) == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": schemas}


def write_schemas(folder: Path = FOLDER) -> None:
    """Write both schemas as files."""
    for name, schema in (("report", report_schema()), ("decision", decision_schema())):
        write_atomic(folder / f"{name}.json", to_json(schema) + "\n")


if __name__ == "__main__":
    write_schemas()
