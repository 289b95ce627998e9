"""``baft train`` with a stranger's trainer: flags, listeners, progress, the curve, what follows."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress

import pytest

from baft.cli.common import State
from baft.cli.making import StepProgress
from cli import strangers

FLAGS = ("train", "--train", "val.jsonl", "--val", "val.jsonl", "--base-model", "nothing",
         "--trainer", "own", "--output", "out")  # fmt: skip


@pytest.fixture
def own(project, monkeypatch):
    """A project that has the stranger's trainer installed; returns what its listener was told."""
    yield from strangers.installed(project, monkeypatch)


def test_a_strangers_trainer_is_chosen_and_its_steps_are_told(own, baft, project):
    code, out, err = baft(*FLAGS, "--epochs", "2", "--lr", "1e-3")
    assert code == 0, err
    assert "adapter out" in out
    assert "baft eval --role ba --model own:out" in out
    asked = json.loads((project / "out" / "model.json").read_text())
    assert (asked["epochs"], asked["lr"], asked["examples"]) == (2, 1e-3, 22)
    assert [(step["step"], step.get("val_loss")) for step in own()] == [
        (1, None), (1, 0.5), (2, None), (2, 0.25),
    ]  # fmt: skip
    assert "train: 1/2 epoch 1 val_loss 0.5" in err
    assert "train: 2/2 epoch 2 loss 0.5 tokens_per_s 9" in err


def test_the_losses_are_drawn_beside_the_model(own, baft, project):
    from matplotlib.image import imread

    code, out, err = baft(*FLAGS)
    assert code == 0, err
    picture = imread(project / "out" / "loss_curve.png")
    assert picture.shape[:2] == (540, 1140)
    blue = (picture[..., 2] > 0.6) & (picture[..., 0] < 0.2)
    assert blue.sum() > 200  # the training line
    assert "curve   out/loss_curve.png" in out


def test_what_a_training_was_is_printed_for_machines(own, baft):
    code, out, _ = baft(*FLAGS, "--json")
    assert code == 0
    assert json.loads(out)["best_val_loss"] == 0.125


def test_an_unknown_trainer_is_refused_with_the_nearest(own, baft, project):
    code, _, err = baft(*FLAGS, "--trainer", "onw")
    assert code == 2
    assert "Did you mean 'own'?" in err
    assert not (project / "out").exists()


def test_ctrl_c_says_how_to_go_on(own, baft, monkeypatch):
    monkeypatch.setenv("OWN_BREAKS", "1")
    code, _, err = baft(*FLAGS)
    assert code == 130
    assert "Go on with: baft train --train val.jsonl" in err
    assert "--trainer own --resume" in err


def test_of_several_processes_the_first_alone_speaks(own, baft, monkeypatch, project):
    monkeypatch.setenv("RANK", "1")
    assert baft(*FLAGS) == (0, "", "")
    assert own() == []
    assert not (project / "out" / "loss_curve.png").exists()
    assert baft(*FLAGS, "--json") == (0, "", "")


def test_a_comparison_follows_with_the_benchmarks_own_arms(own, baft, project):
    code, out, err = baft(*FLAGS, "--then-compare", "small")
    assert code == 0, err
    for arm in ("baseline", "optimized", "finetuned", "trained"):
        assert f"\n{arm} " in out
    (run,) = (project / "artifacts" / "runs").iterdir()
    report = json.loads((run / "report.json").read_text())
    assert report["models"]["trained"]["spec"] == "own:out"
    code, out, _ = baft(*FLAGS, "--then-compare", "small", "--json")
    assert code == 0
    assert json.loads(out)["verdict"] in ("promote", "keep")


@pytest.mark.parametrize(
    ("benchmark", "said"), [("smal", "small"), ("other", "is of the role 'dev', and 'ba' is")]
)
def test_a_comparison_that_cannot_be_is_refused_before_the_training(
    own, baft, project, benchmark, said
):
    text = (project / "benchmarks" / "small.toml").read_text()
    (project / "benchmarks" / "other.toml").write_text(text.replace('"ba"', '"dev"'))
    code, _, err = baft(*FLAGS, "--then-compare", benchmark)
    assert code == 2
    assert said in err
    assert not (project / "out").exists()


def test_a_curve_that_cannot_be_written_is_a_warning(own, baft, project):
    (project / "out" / "loss_curve.png").mkdir(parents=True)
    code, out, err = baft(*FLAGS)
    assert code == 0
    assert "warning: loss_curve.png could not be written" in err
    assert "adapter out" in out


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no such terminals")
def test_a_terminal_sees_a_bar_with_loss_speed_and_time_left(tmp_path, monkeypatch):
    master, slave = os.openpty()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with open(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with StepProgress(State(), "train", None, tmp_path) as log:
            for step in (1, 2, 3):
                log({"step": step, "total": 4, "loss": 1.5, "tokens_per_s": 321.0})
                time.sleep(0.06)
            log({"step": 3, "total": 4, "val_loss": 0.75})
        terminal.flush()
        os.set_blocking(master, False)
        shown = ""
        with suppress(BlockingIOError):
            while True:
                shown += os.read(master, 1 << 16).decode()
    os.close(master)
    assert "loss 1.5 tokens_per_s 321" in shown
    assert "0:00:0" in shown  # the time left
    assert "train: 3/4 val_loss 0.75" in shown


def test_the_time_left_is_told_from_what_was_done_here(tmp_path, capsys):
    with StepProgress(State(), "train", None, tmp_path) as log:
        log({"step": 90, "total": 100, "val_loss": 1.0})  # gone on from there
        time.sleep(0.2)
        log({"step": 91, "total": 100, "val_loss": 1.0})
    first, second = capsys.readouterr().err.splitlines()
    assert "left" not in first
    left = int(second.rpartition(", ")[2].split()[0])
    assert left >= 2  # nine more of 0.2 s, not of 0.2 / 91
