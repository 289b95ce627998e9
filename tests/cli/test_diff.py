"""``baft diff``: two runs, example by example."""

from __future__ import annotations

import json

import pytest


def compare(baft, *arguments):
    code, out, err = baft("compare", "small", "--json", *arguments)
    assert code == 0, err
    return json.loads(out)["run"]


@pytest.fixture
def runs(project, baft):
    """``poor`` (11 of 22 parse), then ``good``, each as the baseline."""
    spec = ("--finetuned", "fair.jsonl")
    return (
        compare(baft, "--baseline", "poor.jsonl", *spec),
        compare(baft, "--baseline", "good.jsonl", *spec),
    )


def test_diff_says_what_was_fixed_and_what_differs(runs, baft):
    code, out, err = baft("diff", *runs)
    assert code == 0, err
    assert "baseline: 11 fixed, 0 broken, 11 unchanged" in out
    assert "finetuned: 0 fixed, 0 broken, 22 unchanged" in out
    assert "The second run scores" in out
    assert "better on 11, worse on 0, equal on 11" in out
    assert "spec of baseline: poor.jsonl → good.jsonl" in out
    assert "fingerprint of baseline" in out
    assert "fingerprint of finetuned" not in out
    assert baft("diff", runs[1], runs[0])[1].count("  - ") == 11


def test_json_holds_every_example_and_the_paired_test(runs, baft):
    found = json.loads(baft("diff", *runs, "--json")[1])
    arm = found["arms"][0]
    assert len(arm["fixed"]) + len(arm["broken"]) + len(arm["unchanged"]) == 22
    assert all(change["after"] > change["before"] for change in arm["fixed"])
    assert arm["test"]["wins"] == 11
    assert arm["test"]["mean_difference"] > 0
    assert arm["test"]["holm_p"] >= arm["test"]["sign_flip_p"]


def test_arms_of_other_names_are_paired_by_hand(runs, baft):
    found = json.loads(baft("diff", *runs, "--arm", "baseline=finetuned", "--json")[1])
    ((arm,), only) = found["arms"], (found["only_first"], found["only_second"])
    assert (arm["first"], arm["second"]) == ("baseline", "finetuned")
    assert only == (["finetuned"], ["baseline"])
    code, _, err = baft("diff", *runs, "--arm", "basline=finetuned")
    assert (code, "Did you mean 'baseline'?" in err) == (2, True)
    assert baft("diff", *runs, "--arm", "=x")[0] == 2


def test_runs_on_other_data_are_refused_unless_forced(project, baft):
    first = compare(baft)
    lines = (project / "val.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (project / "val.jsonl").write_text("".join(lines[:9]), encoding="utf-8")
    second = compare(baft)
    code, out, err = baft("diff", first, second)
    assert (code, out) == (2, "")
    assert "dataset_sha256" in err
    assert "--force" in err
    code, out, _ = baft("diff", first, second, "--force")
    assert code == 0
    assert "finetuned: 0 fixed, 0 broken, 9 unchanged" in out
    assert "num_examples: 22 → 9" in out


def test_runs_without_a_common_arm_ask_for_a_pair(project, baft):
    first = compare(baft, "--candidate", "old=poor.jsonl")
    second = compare(baft, "--candidate", "new=good.jsonl")
    code, _, err = baft("diff", first, second)
    assert (code, "--arm A=B" in err) == (2, True)
    assert "old → new: 11 fixed" in baft("diff", first, second, "--arm", "old=new")[1]
