"""Tables, JUnit and the pull request comment, from runs with hostile text."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from xml.etree import ElementTree as xml

import pytest

from baft.errors import UsageError
from baft.records import Generation
from baft.reports import brief_report, export_csv, export_parquet, junit_report
from baft.reports.exports import table_rows, write_csv

from . import sample

BAD = '=HYPERLINK("http://x")\x00\ud800\u202e</testcase>\x1b[31m\ufffe'


def rows_of(store):
    stream = io.StringIO()
    write_csv(store, stream)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def test_csv_has_one_line_for_each_arm_example_and_repeat(run):
    store, _, _ = run(repeats=2)
    rows = rows_of(store)
    assert len(rows) == 3 * 22 * 2
    assert [row["arm"] for row in rows[::44]] == list(sample.ARMS)
    best = [float(row["score"]) for row in rows if row["arm"] == "finetuned" and row["score"]]
    assert len(best) == 42
    first = rows[0]
    assert float(first["component.title"]) == 0.5
    assert '"tier": "simple"' in first["tags"]
    assert (first["repeat"], first["validity"], first["completion_tokens"]) == (
        "0",
        "extracted",
        "412",
    )
    failed = next(row for row in rows if row["failure"])
    assert (failed["example"], failed["score"], failed["text"]) == ("ba-005", "", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r", "\n", " =", "＝"])
def test_no_cell_of_a_csv_file_starts_a_formula(run, start):
    store, _, _ = run(n=2)
    text = f"{start}cmd|'/c calc'!A1"
    store.add_generations("baseline", 0, [Generation(example_id="ba-000", text=text)])
    rows = rows_of(store)
    assert rows[0]["text"].startswith("'")
    assert all(cell[:1] not in "=+-@\t\r\n" or not cell for row in rows for cell in row.values())


def test_negative_numbers_stay_numbers(run):
    store, _, _ = run(n=2)
    (row, *_) = store.results("baseline")
    store.add_results("baseline", [replace(row, score=replace(row.score, value=-0.5))])
    assert rows_of(store)[0]["score"] == "-0.5"


def test_parquet_holds_the_same_table_word_for_word(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    store, _, _ = run()
    path = export_parquet(store, tmp_path / "out.parquet")
    found = parquet.read_table(path).to_pylist()
    assert found == list(table_rows(store))
    assert sample.HOSTILE in found[3]["text"] or "</script>" in found[3]["text"]


def test_parquet_without_its_library_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"baft\[parquet\]"):
        export_parquet(run(n=2)[0], tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_an_export_is_written_whole_or_not_at_all(run, tmp_path):
    store, _, _ = run(n=2)
    path = export_csv(store, tmp_path / "out.csv")
    assert path.read_text(encoding="utf-8").count("\n") >= 7
    assert [p.name for p in tmp_path.glob("*out.csv*")] == ["out.csv"]


def test_junit_has_a_case_for_each_rule_and_each_example_of_the_candidate(report, decision):
    rules, examples = xml.fromstring(junit_report(report, decision))
    assert [case.get("name") for case in rules][:3] == ["threshold", "complete", "audit"]
    assert (rules.get("tests"), rules.get("failures")) == ("3", "1")
    arm = report.arm("finetuned")
    cases = examples.findall("testcase")
    assert len(cases) == 22 == int(examples.get("tests"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None]
    assert failed == [id_ for id_, score in arm.scores.items() if score < 0.8535]
    assert len(failed) == int(examples.get("failures")) > 0
    (error,) = (case for case in cases if case.find("error") is not None)
    assert error.get("name") == "ba-005"
    assert "baseline scores" in error.find("error").text


def test_junit_of_a_promoted_candidate_has_no_failed_rule(report):
    rules, _ = xml.fromstring(junit_report(report, sample.decision_of(report, "promote")))
    assert rules.get("failures") == "0"
    assert "Promote finetuned" in rules.find("system-out").text


def test_junit_holds_no_character_that_xml_forbids(report, decision):
    arm = report.arms[-1]
    scores = {**arm.scores, BAD: 0.1}
    hostile = replace(report, arms=(*report.arms[:-1], replace(arm, scores=scores)))
    rule = replace(decision.rules[1], name=BAD, why=BAD, observed=BAD)
    text = junit_report(hostile, replace(decision, rules=(rule,)))
    rules, examples = xml.fromstring(text.encode("utf-8"))
    assert "HYPERLINK" in rules[0].get("name")
    assert examples.get("tests") == "23"


def test_the_comment_shows_arms_decision_and_rules(report, decision):
    text = brief_report(report, decision, "https://ci/x(1)/report.html")
    assert text.startswith("### Keep baseline")
    assert text.count("\n| ") >= 7
    assert "✗ | complete" in text
    assert "[Full report](https://ci/x%281%29/report.html)" in text
    assert "`report.html`" in brief_report(report, decision)


def test_the_comment_stays_short_and_plain_whatever_the_names(report, decision):
    arms = tuple(replace(report.arms[0], name=f"{i}<b>|{'*x_' * 400}") for i in range(90))
    rules = tuple(
        replace(decision.rules[0], name="r|" * 900, required="x" * 900) for _ in range(90)
    )
    text = brief_report(replace(report, arms=arms, tests=()), replace(decision, rules=rules))
    assert len(text) < 60_000
    assert "<b>" not in text
    assert "Keep" in text
    assert "run " in text
