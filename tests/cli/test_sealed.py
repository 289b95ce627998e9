"""The sealed set is opened once for a candidate, last, and decides by the same rules."""

from __future__ import annotations

import json

import pytest
import yaml

import baft.sealed as sealing
from baft.store.looks import LookLedger

from .conftest import ROOT


@pytest.fixture
def sealed(project):
    """Sealed examples; ``good`` answers them well too, ``lucky`` only the validation set."""
    lines = (ROOT / "benchmarks" / "audit_one_kind.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    (project / "sealed.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    good = (project / "good.jsonl").read_text("utf-8")
    (project / "lucky.jsonl").write_text(good, encoding="utf-8")
    for name, is_good in (("good", True), ("poor", False), ("lucky", False)):
        with (project / f"{name}.jsonl").open("a", encoding="utf-8") as out:
            for i, row in enumerate(rows):
                text = yaml.safe_dump(row["requirements"], sort_keys=False, allow_unicode=True)
                text = text if is_good or i % 2 else "No: I: cannot"
                out.write(json.dumps({"concept": row["concept"], "output": text}) + "\n")
    return project


def compare(baft, project, candidate="good.jsonl", *more):
    code, out, err = baft(
        *("compare", "small", "--baseline", "poor.jsonl", "--candidate", f"new={candidate}"),
        *("--sealed", "sealed.jsonl", "--json", *more),
    )
    assert code == 0, err
    return json.loads(out)


def rule(decision):
    return next((r for r in decision["rules"] if r["name"] == "sealed"), None)


def kinds(project):
    return [look.kind for look in LookLedger(project).read()]


def newest(project):
    return sorted((project / "artifacts" / "runs").iterdir())[-1]


def test_a_candidate_that_holds_on_the_sealed_set_is_promoted(sealed, baft):
    decision = compare(baft, sealed)
    assert decision["verdict"] == "promote"
    assert rule(decision)["passed"]
    assert rule(decision)["observed"] == pytest.approx(6.5 / 7)
    assert kinds(sealed) == ["look", "opened", "sealed"]
    assert (newest(sealed) / "sealed" / "report.html").is_file()


def test_a_candidate_that_does_not_hold_there_is_kept_out(sealed, baft):
    decision = compare(baft, sealed, "lucky.jsonl")
    assert (decision["verdict"], rule(decision)["passed"]) == ("keep", False)
    assert "threshold" in rule(decision)["why"]
    assert LookLedger(sealed).read()[-1].passed is False
    code, out, _ = baft("decide", newest(sealed), "--json")
    assert code == 3
    assert rule(json.loads(out)) == rule(decision)
    baft("report", newest(sealed))
    assert json.loads((newest(sealed) / "decision.json").read_text())["verdict"] == "keep"


def test_it_is_not_opened_where_an_ordinary_rule_fails_or_for_a_smoke_run(sealed, baft):
    decision = compare(baft, sealed, "fair.jsonl", "--threshold", "0.99")
    assert (decision["verdict"], rule(decision)) == ("keep", None)
    assert kinds(sealed) == ["look"]
    decision = compare(baft, sealed, "good.jsonl", "--limit", "12")
    assert "smoke run" in rule(decision)["why"].lower()
    assert kinds(sealed) == ["look", "look"]


def test_a_second_opening_for_one_candidate_is_refused_with_the_earlier_result(sealed, baft):
    compare(baft, sealed)
    first = newest(sealed).name
    decision = compare(baft, sealed)
    assert (decision["verdict"], decision["conclusive"]) == ("keep", False)
    assert f"in run {first}" in rule(decision)["why"]
    assert "it passed with a mean of 0.9286" in rule(decision)["why"]
    assert kinds(sealed).count("opened") == 1


def test_an_interrupted_sealed_run_is_resumed_and_not_repeated(sealed, baft, monkeypatch):
    real = sealing.run

    def killed(prepared, observe):
        real(prepared, observe)
        raise KeyboardInterrupt

    monkeypatch.setattr(sealing, "run", killed)
    code, _, _ = baft(
        *("compare", "small", "--baseline", "poor.jsonl", "--candidate", "new=good.jsonl"),
        *("--sealed", "sealed.jsonl"),
    )
    assert code == 130
    assert kinds(sealed) == ["look", "opened"]
    monkeypatch.setattr(sealing, "run", real)
    elsewhere = compare(baft, sealed)
    assert "not finished" in rule(elsewhere)["why"]
    runs = (sealed / "artifacts" / "runs").iterdir()
    began = [folder for folder in runs if (folder / "sealed").is_dir()]
    code, out, err = baft("compare", "--resume", began[0], "--json")
    assert code == 0, err
    assert json.loads(out)["verdict"] == "promote"
    assert kinds(sealed).count("opened") == 1
    assert kinds(sealed)[-1] == "sealed"


def test_a_sealed_set_that_is_no_other_set_is_refused(sealed, baft):
    code, _, err = baft("compare", "small", "--sealed", "val.jsonl")
    assert code == 2
    assert "is the validation set itself" in err
    code, _, err = baft("compare", "small", "--sealed", "none.jsonl")
    assert code == 2
    assert "There is no sealed set" in err
    lines = (sealed / "val.jsonl").read_text("utf-8").splitlines()
    (sealed / "sealed.jsonl").write_text("\n".join(lines[:20]) + "\n", encoding="utf-8")
    decision = compare(baft, sealed)
    assert "20 of its 20 examples are in the validation set" in rule(decision)["why"]


def test_a_benchmark_names_its_sealed_set_with_its_hash(sealed, baft):
    path = sealed / "benchmarks" / "small.toml"
    path.write_text('sealed = "sealed.jsonl"\nsealed_sha256 = "00"\n' + path.read_text())
    code, _, err = baft("compare", "small")
    assert code == 2
    assert "is not the sealed set that benchmark 'small' froze" in err


def test_looks_are_counted_and_stated(project, baft):
    _, out, _ = baft("compare", "small")
    assert "2 candidates tried on this dataset so far, in 1 run." in " ".join(out.split())
    baft("compare", "small", "--candidate", "new=poor.jsonl", "--baseline", "good.jsonl")
    folder = newest(project)
    report = json.loads((folder / "report.json").read_text())
    looks = report["looks"]
    assert (looks["candidates"], looks["runs"]) == (2, 2)  # good is in service now, poor is new
    once, any_ = looks["passes_once_at_the_bar"], looks["passes_at_least_once"]
    assert any_ == pytest.approx(1 - (1 - once) ** looks["candidates"])
    for name in ("report.md", "report.html"):
        assert "tried on this dataset so far" in (folder / name).read_text("utf-8")
