"""The whole chain on the shipped pocket model: compare, promote, ask, roll back; and the wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the pocket model needs baft[lora]")
pytest.importorskip("dspy", reason="the optimized arm needs baft[dspy]")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[1]


def baft(*arguments, cwd, env=None, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "baft", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A user's own project after ``baft init`` and ``baft compare pocket``."""
    folder = tmp_path_factory.mktemp("project")
    assert baft("init", cwd=folder).returncode == 0
    done = baft("compare", "pocket", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def run_of(folder):
    (found,) = (folder / "artifacts" / "runs").iterdir()
    return found


def test_three_arms_are_scored_on_all_22_examples_and_decided(compared):
    folder, out = compared
    report = json.loads((run_of(folder) / "report.json").read_text())
    assert set(report["models"]) == {"baseline", "optimized", "finetuned"}
    for model in report["models"].values():
        assert (model["scores"]["n"], model["scores"]["failures"]) == (22, 0)
        assert 0.05 < model["scores"]["mean"] <= 6.5 / 7 + 1e-9
    assert json.loads((run_of(folder) / "decision.json").read_text())["verdict"] in out.lower()


def test_arms_share_no_answer(compared):
    report = json.loads((run_of(compared[0]) / "report.json").read_text())
    texts = [{p["text"] for p in m["predictions"]} for m in report["models"].values()]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]


def test_a_second_run_gives_the_same_scores(compared):
    folder, _ = compared
    again = baft("compare", "pocket", "--output", folder / "again", "--limit", "4", cwd=folder)
    assert again.returncode == 0, again.stderr
    first = json.loads((run_of(folder) / "report.json").read_text())
    second = json.loads(next(folder.glob("again/*/report.json")).read_text())
    for name, model in second["models"].items():
        whole = {p["id"]: p["score"] for p in first["models"][name]["predictions"]}
        assert {p["id"]: p["score"] for p in model["predictions"]}.items() <= whole.items()


def test_the_winner_is_adopted_answers_the_pipeline_and_is_taken_back(compared):
    folder, _ = compared
    before = (folder / "config.yaml").read_bytes()
    done = baft("promote", run_of(folder), "--force", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert b"# Which model plays which role" in (folder / "config.yaml").read_bytes()
    assert baft("status", cwd=folder).returncode == 0
    request = {
        "system": "", "temperature": 0.7, "max_tokens": 1024, "prompt": "", "model": "",
        "user": "CONCEPT:\nA booking app for a small bakery.\n\nFollow the exact output format.",
    }  # fmt: skip
    asked = baft("ask", "--role", "ba", "--pipeline", cwd=folder, stdin=json.dumps(request))
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith("```yaml REQUIREMENTS\n")
    assert baft("rollback", "--role", "ba", cwd=folder).returncode == 0
    assert (folder / "config.yaml").read_bytes() == before
    history = json.loads(baft("history", "--json", cwd=folder).stdout)
    assert len(history) == 2 or len(history["promotions"]) == 2


def test_a_wheel_compares_in_an_empty_folder(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    env = {"PYTHONPATH": str(site)}
    done = baft("compare", "pocket", "--limit", "4", cwd=empty, env=env)
    assert done.returncode == 0, done.stderr
    models = json.loads(next(empty.glob("artifacts/runs/*/run.json")).read_text())["arms"]
    assert all(str(site) in model["spec"] for model in models)
    made = baft("init", cwd=empty, env=env)
    assert (empty / "benchmarks" / "pocket.toml").is_file(), made.stderr
