"""``baft train --sweep`` with a stranger's trainer, whose loss is 100 times its learning rate."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("optuna")

from cli import strangers

FLAGS = ("train", "--train", "val.jsonl", "--val", "val.jsonl", "--base-model", "nothing",
         "--trainer", "own", "--output", "out", "--epochs", "2")  # fmt: skip
RATES = ("--sweep", "lr=0.04,0.02,0.08")


@pytest.fixture
def own(project, monkeypatch):
    yield from strangers.installed(project, monkeypatch)


def record(project):
    return json.loads((project / "out" / "sweep.json").read_text())


def model(folder):
    return json.loads((folder / "model.json").read_text())


def test_every_point_of_a_grid_is_trained_and_the_best_is_kept(own, baft, project):
    code, out, err = baft(*FLAGS, *RATES, "--sweep", "r=8,16", "--no-sweep-prune")
    assert code == 0, err
    found = record(project)
    assert found["finished"] is True
    assert [trial["options"] for trial in found["trials"]] == [
        {"lr": lr, "lora_r": r} for lr in (0.04, 0.02, 0.08) for r in (8, 16)
    ]
    assert found["best"] == {"trial": 2, "options": {"lr": 0.02, "lora_r": 8}, "value": 0.5}
    assert found["trials"][0]["val_losses"] == [2.0, 1.0]
    assert {trial["state"] for trial in found["trials"]} == {"done"}
    assert model(project / "out") == model(project / "out" / "trial-2")
    assert model(project / "out")["lr"] == 0.02
    assert "trial 5: lr 0.08, lora_r 16" in err
    (line,) = [line for line in out.splitlines() if "best" in line]
    assert line.split()[:4] == ["2", "0.02", "8", "0.5000"]
    assert "baft eval --role ba --model own:out" in out


def test_trials_worse_than_the_median_are_broken_off(own, baft, project):
    code, _, err = baft(*FLAGS, *RATES)
    assert code == 0, err
    assert [(t["state"], t["val_losses"]) for t in record(project)["trials"]] == [
        ("done", [2.0, 1.0]), ("done", [1.0, 0.5]), ("broken off", [4.0]),
    ]  # fmt: skip


def test_a_role_metric_can_judge(own, baft, project):
    flags = ("--sweep-metric", "role", "--sweep", "lr=0.02,0.09,0.04")
    code, out, err = baft(*FLAGS, *flags, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["judged_by"] == "ba_requirements"
    # a title of more than 100 letters loses its half point of seven
    values = [trial["value"] for trial in found["trials"]]
    assert values[0] == values[2] == pytest.approx(values[1] + 0.5 / 7)
    assert found["best"]["trial"] == 0


def test_a_killed_sweep_goes_on_where_it_was(own, baft, project):
    flags = (*FLAGS, *RATES)
    killed = subprocess.run(
        [sys.executable, "-m", "baft", *flags],
        env={**os.environ, "PYTHONPATH": str(project), "OWN_BREAKS_AT": "0.02 2"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr
    before = record(project)
    assert before["finished"] is False
    assert [trial["state"] for trial in before["trials"]] == ["done"]
    code, _, err = baft(*flags)
    assert code == 2
    assert "already holds a sweep" in err
    assert "--resume" in err
    code, _, err = baft(*flags, "--lora-r", "4", "--resume")
    assert code == 2
    assert "begun differently: options" in err
    code, _, err = baft(*flags, "--resume")
    assert code == 0, err
    assert "trial 0" not in err
    found = record(project)
    code, _, err = baft(*flags, "--output", "whole")
    assert code == 0, err
    whole = json.loads((project / "whole" / "sweep.json").read_text())
    timeless = [[{**trial, "wall_s": None} for trial in one["trials"]] for one in (found, whole)]
    assert timeless[0] == timeless[1]
    assert found["best"] == whole["best"]


def test_a_range_is_searched_for_so_many_trials(own, baft, project):
    code, _, err = baft(*FLAGS, "--sweep", "lr=0.01..0.5", "--sweep-trials", "4")
    assert code == 0, err
    found = record(project)
    rates = [trial["options"]["lr"] for trial in found["trials"]]
    assert len(set(rates)) == 4
    assert all(0.01 <= rate <= 0.5 for rate in rates)
    best = found["trials"][found["best"]["trial"]]
    assert best["value"] == min(t["value"] for t in found["trials"] if t["state"] == "done")
    assert found["space"] == {"lr": "0.01..0.5"}


def test_a_trial_that_fails_leaves_the_others(own, baft, project):
    code, out, err = baft(*FLAGS, "--sweep", "dropout=1.0,0.1")
    assert code == 0, err
    found = record(project)
    assert [trial["state"] for trial in found["trials"]] == ["failed", "done"]
    assert found["trials"][0]["reason"] == "The loss is nan."
    assert found["best"]["trial"] == 1
    assert "failed: The loss is nan." in out
    code, _, err = baft(*FLAGS, "--output", "none", "--sweep", "dropout=1.0")
    assert code == 2
    assert "None of 1 trials could be finished; the first: The loss is nan." in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sweep", "rank=8,16"], "not NAME=VALUE"),
        (["--sweep", "lorar=8"], "Did you mean 'lora_r'?"),
        (["--sweep", "r="], "not NAME=VALUE"),
        (["--sweep", "r=8,8"], "the values must differ"),
        (["--sweep", "r=8,none"], "--lora-r"),
        (["--sweep", "r=0,8"], "--lora-r"),
        (["--sweep", "lr=2e-4..1e-4"], "a range must rise"),
        (["--sweep", "lr=1e-4..2e-4"], "--sweep-trials N"),
        (["--sweep", "quantization=bf16..fp32"], "has no numbers"),
        (["--sweep", "r=8,16", "--sweep", "lora-r=4"], "twice"),
        (["--sweep", "output=a,b"], "not NAME=VALUE"),
        (["--sweep-metric", "role"], "Give --sweep r=8,16"),
        (["--sweep", "r=8", "--sweep-metric", "nope"], "no metric named 'nope'"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(own, baft, project, flags, said):
    code, _, err = baft(*FLAGS, *flags)
    assert code == 2
    assert said in err
    assert not (project / "out").exists()


def test_several_processes_do_not_sweep(own, baft, monkeypatch, project):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = baft(*FLAGS, *RATES)
    assert code == 2
    assert "one process" in err


def test_a_sweep_ends_with_a_comparison(own, baft, project):
    code, out, err = baft(*FLAGS, *RATES, "--then-compare", "small")
    assert code == 0, err
    assert "\ntrained " in out
