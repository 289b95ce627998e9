"""The published schemas hold for real files, and change when the records do."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from baft.reports import json_report
from baft.reports.schema import write_schemas
from baft.store.codec import to_data

jsonschema = pytest.importorskip("jsonschema")


def published(name):
    text = resources.files("baft").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def keys_of(schema):
    return set(schema["properties"])


def test_published_schemas_are_those_of_the_records(tmp_path):
    write_schemas(tmp_path)
    for name in ("report", "decision"):
        written = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert written == published(name).schema, "run: python -m baft.reports.schema"


@pytest.mark.parametrize(
    "options", [{}, {"n": 0}, {"repeats": 2}, {"arms": ("baseline",)}, {"n": 3}]
)
def test_reports_and_decisions_hold_to_their_schemas(run, options):
    store, report, decision = run(**options)
    for taken in (decision, None):
        published("report").validate(json.loads("".join(json_report(store, report, taken))))
    published("decision").validate(json.loads(json.dumps(to_data(decision))))


def test_the_schema_names_every_key_of_a_report(store, report, decision):
    data = json.loads("".join(json_report(store, report, decision)))
    schema = published("report").schema
    model = schema["properties"]["models"]["additionalProperties"]
    (arm, *_) = data["models"].values()
    assert set(data) == keys_of(schema)
    assert set(data["metadata"]) == keys_of(schema["properties"]["metadata"])
    assert set(arm) == keys_of(model)
    assert set(arm["scores"]) == keys_of(model["properties"]["scores"])
    prediction = model["properties"]["predictions"]["items"]
    assert {*arm["predictions"][0], "inputs"} == keys_of(prediction)


@pytest.mark.parametrize("break_", [{"verdict": "maybe"}, {"extra": 1}, {"rules": None}])
def test_what_is_no_decision_is_refused(decision, break_):
    data = json.loads(json.dumps(to_data(decision))) | break_
    with pytest.raises(jsonschema.ValidationError):
        published("decision").validate(data)


def test_the_command_prints_the_schema_of_reports(capsys):
    from baft.cli import main

    with pytest.raises(SystemExit) as left:
        main(["report", "--schema"])
    assert not left.value.code
    assert json.loads(capsys.readouterr().out) == published("report").schema
