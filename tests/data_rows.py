"""Rows of the business analyst, good and bad, for the tests of the data commands."""

from __future__ import annotations

import json

LISTS = {"functional_requirements": "FR", "non_functional_requirements": "NFR", "constraints": "C"}
META = {"meta": {"original_request": "an app"}}


def items(prefix, word="thing", n=2):
    texts = (f"{word} number {i} of {prefix} works" for i in range(1, n + 1))
    return [
        {"id": f"{prefix}{i:03}", "description": text, "priority": "High"}
        for i, text in enumerate(texts, start=1)
    ]


def document(word="thing"):
    lists = {name: items(prefix, word) for name, prefix in LISTS.items()}
    return {"title": f"A {word} app", "description": f"{word} for everybody. " * 8, **lists}


def clean(word="thing", **more):
    return {"concept": f"An app that sells {word}", "requirements": document(word), **more}


def as_text(value):
    return json.dumps(value)  # JSON is YAML


VARIANTS = {
    "A clean": (clean(source="seed"), ""),
    "B strings": (
        {"concept": "x", "requirements": {k: as_text(document()[k]) for k in LISTS}},
        "",
    ),
    "C normalized": ({"input": {"concept": "x", "requirements_yaml": as_text(document())}}, ""),
    "D meta only": (
        {"concept": "x", "requirements": META, "generated_at": "now"},
        "none of the fields",
    ),
    "E wrapped": (
        {"input": {"concept": "x"}, "requirements_yaml": "meta:\n  original_request: an app"},
        "none of the fields",
    ),
    "F broken items": (
        {"concept": "x", "requirements": {"constraints": ["text", {"Description": "half"}]}},
        "item 1 of constraints is text",
    ),
}


def entry(id, **more):
    return {"id": id, "description": "d", "priority": "High", **more}


def ids(*ids, prefix="functional_requirements"):
    return {"concept": "x", "requirements": {prefix: [entry(i) for i in ids]}}
