"""The bundled benchmarks of the tester, the reporter and the developer, decided by replay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baft.loader import load_plugins
from baft_dev import sandbox

DATA = Path(__file__).parents[2] / "artifacts" / "synthetic"
OF_DEV = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(sandbox.problem()), reason=sandbox.problem()),
]


def answers(folder, role, dataset):
    """Two replays: the references, and the same with every other answer missing."""
    player = load_plugins().role(role)
    lines = (DATA / dataset).read_text(encoding="utf-8").splitlines()
    examples = [player.example(json.loads(line)) for line in lines]
    for name in ("good", "poor"):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as out:
            for number, example in enumerate(examples):
                text = "" if name == "poor" and number % 2 else player.target(example)
                out.write(json.dumps({"id": example.id, "output": text}) + "\n")


@pytest.mark.parametrize(
    ("role", "dataset", "version"),
    [
        ("qa", "qa_stories.jsonl", 1),
        ("qa_report", "qa_implementations.jsonl", 0),
        pytest.param("dev", "dev_stories.jsonl", 0, marks=OF_DEV),
    ],
)
def test_a_bundled_benchmark_promotes_the_better_answers(
    role, dataset, version, tmp_path, monkeypatch, baft
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").mkdir()
    answers(tmp_path, role, dataset)
    code, out, err = baft("compare", role, "--baseline", "poor.jsonl", "--finetuned", "good.jsonl")
    assert code == 0, err
    assert "PROMOTE FINETUNED" in out
    (run,) = (tmp_path / "artifacts" / "runs").iterdir()
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert report["models"]["finetuned"]["scores"]["mean"] > 0.9
    assert report["models"]["baseline"]["scores"]["mean"] < 0.6
    assert report["models"]["baseline"]["scores"]["failures"] == 0
    for name in ("report.md", "report.html"):
        said = "is experimental" in (run / name).read_text(encoding="utf-8")
        assert said == (version == 0), name
    assert ("is experimental" in " ".join(out.split())) == (version == 0)


def test_the_listing_says_what_is_experimental(baft):
    _, out, _ = baft("plugins")
    assert "metrics:developer_code (experimental)" in out
    assert "roles:qa," in out
    _, out, _ = baft("plugins", "--json")
    (qa,) = [row for row in json.loads(out)["plugins"] if row["name"] == "qa"]
    assert qa["experimental"] == ["roles:qa_report", "metrics:qa_report"]
