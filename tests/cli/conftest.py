"""A project with a small benchmark on replays, and a way to run commands in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from baft.cli import main

ROOT = Path(__file__).parents[2]
VAL = ROOT / "artifacts" / "synthetic" / "ba_val_v2_fixed.jsonl"

CONFIG = """\
# the pipeline's own comment
providers:
  ollama: {type: ollama, base_url: "http://127.0.0.1:11434"}
roles:
  ba:
    provider: ollama  # in service
    model: mistral:7b-instruct
    temperature: 0.7
    max_tokens: 2048
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """22 examples; ``good`` answers like the references, ``poor`` parses every other time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "config.yaml").write_text(CONFIG)
    rows = [json.loads(line) for line in VAL.read_text(encoding="utf-8").splitlines()]
    (tmp_path / "val.jsonl").write_text(VAL.read_text(encoding="utf-8"), encoding="utf-8")
    for name, broken in (("good", ()), ("poor", range(0, 22, 2)), ("fair", (3,))):
        with (tmp_path / f"{name}.jsonl").open("w", encoding="utf-8") as out:
            for i, row in enumerate(rows):
                text = yaml.safe_dump(row["requirements"], sort_keys=False, allow_unicode=True)
                text = "I cannot: say: that" if i in broken else text
                out.write(json.dumps({"concept": row["concept"], "output": text}) + "\n")
    (tmp_path / "benchmarks" / "small.toml").write_text(
        'version = 1\nrole = "ba"\ndataset = "val.jsonl"\nmetric = "ba_requirements"\n'
        '[models]\nbaseline = "replay:poor.jsonl"\noptimized = "replay:fair.jsonl"\n'
        'finetuned = "replay:good.jsonl"\n'
    )
    return tmp_path


@pytest.fixture
def baft(capsys):
    """Runs a command; returns its exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run
