"""``baft report`` in its other forms, and JUnit from ``baft compare``."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree as xml

import pytest


@pytest.fixture
def folder(project, baft):
    code, _, err = baft("compare", "small", "--junit", "junit.xml", "--json")
    assert code == 0, err
    (found,) = (project / "artifacts" / "runs").iterdir()
    return found


def test_compare_writes_junit(folder, project):
    rules, examples = xml.parse(project / "junit.xml").getroot()
    assert rules.get("failures") == "0"
    assert examples.get("tests") == "22"


def test_report_writes_junit_too(folder, project, baft):
    code, out, _ = baft("report", "last", "--junit", "again/junit.xml", "--json")
    assert code == 0
    assert json.loads(out)["junit"] == "again/junit.xml"
    text = (project / "again" / "junit.xml").read_text(encoding="utf-8")
    assert text == (project / "junit.xml").read_text(encoding="utf-8")


def test_csv_goes_to_the_run_a_file_or_stdout(folder, project, baft):
    code, out, _ = baft("report", "last", "--format", "csv")
    assert (code, out.strip().endswith("examples.csv")) == (0, True)
    written = (folder / "examples.csv").read_text(encoding="utf-8")
    assert len(list(csv.DictReader(io.StringIO(written)))) == 66
    assert baft("report", "last", "--format", "csv", "--output", "-")[1] == written
    baft("report", "last", "--format", "csv", "--output", "out.csv")
    assert (project / "out.csv").read_text(encoding="utf-8") == written


def test_parquet_is_written_and_never_printed(folder, baft):
    pytest.importorskip("pyarrow")
    assert baft("report", "last", "--format", "parquet")[0] == 0
    assert (folder / "examples.parquet").read_bytes()[:4] == b"PAR1"
    code, _, err = baft("report", "last", "--format", "parquet", "--output", "-")
    assert (code, "--output" in err) == (2, True)


def test_markdown_is_printed_whole_or_brief(folder, baft):
    assert baft("report", "last", "--format", "md")[1] == (folder / "report.md").read_text("utf-8")
    link = "https://ci.example/report.html"
    brief = baft("report", "last", "--format", "md", "--brief", "--link", link)[1]
    assert brief.startswith("### Promote finetuned")
    assert f"[Full report]({link})" in brief
    assert len(brief) < 3_000


def test_an_export_changes_no_report(folder, baft):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    baft("report", "last", "--format", "csv", "--output", "-")
    baft("report", "last", "--format", "md", "--brief")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "No run was named"),
        (("last", "--format", "cvs"), "Did you mean 'csv'?"),
        (("last", "--brief"), "--format md"),
        (("last", "--output", "x"), "--format"),
        (("nowhere", "--format", "csv"), "There is no run"),
    ],
)
def test_what_cannot_be_is_refused(folder, baft, arguments, said):
    code, _, err = baft("report", *arguments)
    assert (code, said in err) == (2, True), err
