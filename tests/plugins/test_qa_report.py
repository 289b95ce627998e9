"""The quality report: its reader, each part of its metric, and the shipped data run for real."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from baft import DataError, Example, Generation, Prediction
from baft_dev import sandbox, tools
from baft_dev.files import in_fences
from baft_qa.report_metric import ReportMetric
from baft_qa.report_role import QualityReporter

METRIC, ROLE = ReportMetric(), QualityReporter()
DATA = Path(__file__).parents[2] / "artifacts" / "synthetic" / "qa_implementations.jsonl"
ROWS = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
REPORT = {
    "test_summary": {"total": 5, "passed": 4, "failed": 1},
    "defects": [
        {
            "id": "D1",
            "location": "shop/cart.py:total",
            "severity": "high",
            "description": "The discount is added instead of taken away.",
        }
    ],
    "recommendations": [{"defect": "D1", "action": "Subtract the discount from the total."}],
}
EXAMPLE = Example(id="1", inputs={"story": "x"}, reference=REPORT)


def points(example=EXAMPLE, **changes):
    fields = {**REPORT, **changes}
    return METRIC.score(example, Prediction(fields=fields, validity="as_is")).components


def test_the_parts_are_those_of_the_plan():
    assert list(METRIC.components.values()) == [30, 25, 25, 20]
    assert points() == METRIC.components
    assert METRIC.version == 0


@pytest.mark.parametrize(
    ("locations", "expected"),
    [
        (["cart.py::total()"], 30),
        (["shop/cart.py:12:total"], 30),
        (["Cart.total"], 30),
        (["shop/cart.py:subtotal"], 0),
        ([], 0),
        (["total", "subtotal"], 20),  # precision 1/2, recall 1
        (["total"] * 4, 12),  # three of four are reported again
        ([None], 0),
    ],
)
def test_defects_are_f1_of_the_locations(locations, expected):
    defects = [{**REPORT["defects"][0], "location": location} for location in locations]
    assert points(defects=defects)["defects"] == pytest.approx(expected)


def test_code_without_defects_wants_none_reported():
    clean = {**REPORT, "defects": []}
    example = Example(id="1", inputs={"story": "x"}, reference=clean)
    assert points(example, defects=[])["defects"] == 30
    assert points(example)["defects"] == 0


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"total": 5, "passed": 4, "failed": 1}, 25),
        ({"total": 5, "passed": 5, "failed": 0}, 25 / 3),
        ({"total": "5", "passed": True, "failed": 1.0}, 0),
        ({}, 0),
        ("5 of 5", 0),
        (None, 0),
    ],
)
def test_the_summary_is_compared_with_the_run(summary, expected):
    assert points(test_summary=summary)["summary"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("recommendations", "expected"),
    [
        ([], 0),
        ([{"defect": "D1", "action": "Fix it."}], 0),
        ([{"defect": "D9", "action": "Subtract the discount from the total."}], 10),
        ([{"defect": "D1", "action": "Subtract the discount from the total."}, "test more"], 20),
        ("Subtract the discount", 0),
        ([None, 3], 0),
    ],
)
def test_recommendations_take_up_defects_and_say_what_to_do(recommendations, expected):
    found = points(recommendations=recommendations)["recommendations"]
    assert found == pytest.approx(expected)


def test_completeness_is_the_share_of_what_must_be_there():
    assert points(defects=[{"location": "total"}])["completeness"] == pytest.approx(20 * 4 / 7)
    assert points(defects=["x"], recommendations=[], test_summary={})["completeness"] == (
        pytest.approx(20 / 7)
    )


def test_the_ceiling_is_what_a_report_gets_that_finds_no_known_defect():
    elsewhere = [{**REPORT["defects"][0], "location": "shop/cart.py:subtotal"}]
    found = sum(points(defects=elsewhere).values()) / 100
    assert found == pytest.approx(METRIC.ceilings["where no known defect is found"])


def test_no_report_gets_nothing_and_an_unknown_truth_is_no_score():
    nothing = Prediction(fields={}, validity="none")
    assert METRIC.score(EXAMPLE, nothing).value == 0
    with pytest.raises(DataError, match="no report that says"):
        METRIC.score(Example(id="1", inputs={"story": "x"}), nothing)


TEXT = yaml.safe_dump(REPORT, sort_keys=False)


@pytest.mark.parametrize(
    ("text", "validity", "strict"),
    [
        (TEXT, "as_is", "as_is"),
        (json.dumps(REPORT), "as_is", "as_is"),
        (f"```yaml QA_REPORT\n{TEXT}```", "extracted", "none"),
        (f"Here is the report.\n\n{TEXT}", "extracted", "none"),
        (f"<think>defects: []</think>\n{TEXT}", "extracted", "none"),
        ("defects: none", "none", "none"),
        ("prose", "none", "none"),
    ],
)
def test_a_report_is_found_in_its_text(text, validity, strict):
    found = ROLE.parse(Generation(example_id="1", text=text), "lenient")
    assert found.validity == validity
    assert ROLE.parse(Generation(example_id="1", text=text), "strict").validity == strict
    if validity != "none":
        assert found.fields == REPORT


def test_fields_that_come_apart_are_read_one_by_one():
    fields = {name: yaml.safe_dump(value) for name, value in REPORT.items()}
    whole = Generation(example_id="1", text="…", fields=fields)
    assert ROLE.parse(whole, "strict").fields == REPORT
    fields["defects"] = f"```yaml\n{fields['defects']}```"
    fenced = Generation(example_id="1", text="…", fields=fields)
    assert ROLE.parse(fenced, "lenient").validity == "extracted"
    assert ROLE.parse(fenced, "lenient").fields == REPORT


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"code": None}, "code is missing"),
        ({"report": 3}, "report is a int, not a mapping"),
        ({"report": "a: [b"}, "report is not YAML"),
        ({"report": {**REPORT, "defects": None}}, "defects is null, not a list"),
        ({"report": {**REPORT, "defects": [{}]}}, "location is missing"),
    ],
)
def test_a_broken_row_says_why(change, why):
    with pytest.raises(ValueError, match=why):
        ROLE.example({**ROWS[0], **change})


@pytest.mark.slow
@pytest.mark.skipif(bool(sandbox.problem()), reason=sandbox.problem())
@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_the_shipped_code_fails_as_its_report_says(row):
    files, _ = in_fences(f"{row['code']}\n\n{row['tests']}")
    command = [sandbox.python(), "-I", "-S", "-B", "-c", tools._START, "-c", "/dev/null"]
    command += ["--rootdir", ".", "--color=no", "-p", "no:cacheprovider", "-q", "."]
    content = {file["path"]: file["content"] for file in files}
    last = sandbox.run(command, content, tools._site()).output.splitlines()[-1]
    found = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed)", last)}
    passed, failed = found.get("passed", 0), found.get("failed", 0)
    assert row["report"]["test_summary"] == {
        "total": passed + failed,
        "passed": passed,
        "failed": failed,
    }
    functions = {defect["location"].rpartition(":")[2] for defect in row["report"]["defects"]}
    assert all(f"def {name}(" in row["code"] for name in functions)
