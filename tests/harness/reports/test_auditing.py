"""The audit's evidence, selection and looks stand in every form of the report."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from baft.records import AuditFinding, CurvePoint, Looks, Power
from baft.reports import html_report, json_report, markdown_report, render_terminal

SELECTED = "selected on these examples: the score is optimistic"


@pytest.fixture
def told(store, report, decision):
    """Every form of a report with a selected arm, a check that could not be made, and looks."""
    first = report.arms[0]
    unchecked = AuditFinding(
        name="training_inputs",
        passed=True,
        checked=False,
        observed=None,
        required="at most 5% of the examples",
        why="Could not be checked: of old.jsonl, which it learnt from, the file is gone.",
    )
    audit = replace(first.audit, findings=(*first.audit.findings, unchecked))
    arms = (replace(first, audit=audit, selected_on=SELECTED), *report.arms[1:])
    report = replace(
        report,
        arms=arms,
        looks=Looks(candidates=3, runs=2, smoke_runs=1),
        notes=(f"{first.name}: {SELECTED}.",),
    )
    curve = (CurvePoint(truth=0.85, passes=0.4),)
    power = Power(n=22, at_threshold=0.4, curve=curve, for_threshold=None, for_incumbent=None)
    decision = replace(decision, power=power)
    out = io.StringIO()
    render_terminal(report, decision, {}, Console(file=out, width=400, color_system=None))
    return {
        "terminal": out.getvalue(),
        "md": markdown_report(report, decision),
        "html": "".join(html_report(store, report, decision)),
        "json": "".join(json_report(store, report, decision)),
    }


@pytest.mark.parametrize("form", ["terminal", "md", "html", "json"])
def test_a_selected_arm_is_marked_everywhere(told, form):
    assert SELECTED in told[form]


@pytest.mark.parametrize("form", ["terminal", "md", "html"])
def test_looks_and_the_chance_of_a_lucky_pass_are_stated(told, form):
    assert "3 candidates tried on this dataset so far, in 2 runs" in told[form]
    assert "besides 1 smoke run" in told[form]
    assert "with 78.4 %" in told[form]  # 1 - 0.6^3


def test_json_has_looks_and_evidence_in_full(told):
    data = json.loads(told["json"])
    assert data["looks"]["passes_at_least_once"] == pytest.approx(0.784)
    (arm, *_) = data["models"].values()
    copies = next(f for f in arm["audit"]["findings"] if f["name"] == "near_copies")
    assert copies["evidence"][0]["other"] == "ba-001"
    assert [null["name"] for null in arm["audit"]["nulls"]] == ["constant", "shuffled"]


@pytest.mark.parametrize("form", ["md", "html"])
def test_null_arms_evidence_and_what_was_not_checked_are_shown(told, form):
    for part in (
        *("would reach 0.8535", "constant: one template for every example", "0.8812"),
        *("An answer. ", "ba-001", "not checked", "Could not be checked: of old.jsonl"),
    ):
        assert part in told[form]
    assert "<img" not in told[form]


def test_the_terminal_has_one_line_for_each_arm(told):
    (line,) = (
        line for line in told["terminal"].splitlines() if line.strip().startswith("- baseline: f")
    )
    assert "fails near_copies, 1 check could not be made" in line
    assert "without a model: constant 0.9286, shuffled 0.8812" in line
