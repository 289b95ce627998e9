"""A role, a metric and a run small enough to follow by hand."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from baft import Decoding, Example, Field, Message, Policy, Prediction, Prompt, Score
from baft.comparison import Asked, prepare
from baft.concluding import conclude
from baft.execution import run
from baft.loader import load_plugins
from baft.records import ArmManifest, Limits, Manifest
from baft.store import Benchmark


class EchoRole:
    """Reads ``GOOD word`` as a prediction; raises on ``BOOM``."""

    name, task, metric, answer_label = "echo", "Echo.", "length", "yaml ECHO"
    inputs = (Field(name="word", description="a word"),)
    outputs = (Field(name="answer", description="the word"),)

    def example(self, row):
        if not isinstance(row.get("word"), str):
            raise ValueError("word is missing")
        return Example(id=str(row.get("id", row["word"])), inputs={"word": row["word"]})

    def prompt(self, example):
        text = f"Say {example.inputs['word']}"
        messages = (Message(role="user", content=text),)
        return Prompt(example_id=example.id, inputs=example.inputs, messages=messages)

    def target(self, example):
        return f"GOOD {example.inputs['word']}"

    def parse(self, generation, extraction):
        if "BOOM" in generation.text:
            raise RuntimeError("parser went up")
        first, _, rest = generation.text.partition(" ")
        if first == "GOOD":
            return Prediction(fields={"answer": rest}, validity="as_is")
        if extraction == "lenient" and "GOOD " in generation.text:
            return Prediction(
                fields={"answer": generation.text.partition("GOOD ")[2]}, validity="extracted"
            )
        return Prediction(fields={}, validity="none")


class LengthMetric:
    """1 for an answer, 0 for none; raises on ``!``."""

    name, version, higher_is_better, attainable_max = "length", 1, True, 1.0
    components = {"answer": 1.0}  # noqa: RUF012 - as plugins write it

    def score(self, example, prediction):
        answer = prediction.fields.get("answer", "")
        if "!" in answer:
            raise KeyError("no score for '!'")
        return Score(value=float(bool(answer)), components={"answer": float(bool(answer))})


@pytest.fixture
def role():
    return EchoRole()


@pytest.fixture
def metric():
    return LengthMetric()


@pytest.fixture
def make_manifest():
    def make(arms=("baseline",), n=3, **changes):
        given = {
            "run_id": "r1",
            "date": "2026-01-01T00:00:00+00:00",
            "benchmark": "b",
            "benchmark_version": 1,
            "role": "echo",
            "dataset": "d.jsonl",
            "dataset_sha256": "0",
            "num_examples": n,
            "metric": "length",
            "metric_version": 1,
            "attainable_max": 1.0,
            "component_max": {"answer": 1.0},
            "extraction": "lenient",
            "decoding": Decoding(),
            "limits": Limits(retries=2, backoff_s=0.001),
            "policy": Policy(),
            "incumbent": "baseline",
            "arms": tuple(
                a if isinstance(a, ArmManifest) else ArmManifest(name=a, spec=a, fingerprint=a)
                for a in arms
            ),
        }
        return Manifest(**{**given, **changes})

    return make


@pytest.fixture
def write_lines(tmp_path):
    def write(name, rows):
        path = tmp_path / name
        path.write_text(
            "".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows),
            encoding="utf-8",
        )
        return path

    return write


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution with one plugin, as pip would lay it out."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []

    def install(name, source, *, entry=None):
        module = f"{name}_module"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[baft]\n{entry or name} = {module}\n")
        modules.append(module)

    yield install
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def compare(tmp_path, write_lines):
    """Runs a small comparison of two replays with every plugin that is installed by then."""

    def compare(options=None, *, timeout_s=600.0, role="ba", metric="ba_requirements", **models):
        rows = [
            {"id": str(i), "concept": f"product number {i} for place {i * 7}"} for i in range(6)
        ]
        document = {
            "title": "A title long enough",
            "description": "d" * 100,
            **{
                key: [{"id": f"{p}00{i}", "description": "x", "priority": "High"} for i in (1, 2)]
                for key, p in (
                    ("functional_requirements", "FR"),
                    ("non_functional_requirements", "NFR"),
                    ("constraints", "C"),
                )
            },
        }
        write_lines("d.jsonl", rows)
        write_lines("poor.jsonl", [{"id": r["id"], "output": "no"} for r in rows])
        good = yaml.safe_dump(document)
        write_lines(
            "good.jsonl", [{"id": r["id"], "output": f"{good}extra: {r['concept']}"} for r in rows]
        )
        given = {
            "baseline": f"replay:{tmp_path}/poor.jsonl",
            "new": f"replay:{tmp_path}/good.jsonl",
        }
        plugins = load_plugins()
        benchmark = Benchmark(
            name="b",
            version=1,
            role=role,
            dataset=str(tmp_path / "d.jsonl"),
            metric=metric,
            models={**given, **models},
            decoding=Decoding(),
            policy=Policy(audit=False),
        )
        said = []
        prepared = prepare(
            benchmark,
            tmp_path / "d.jsonl",
            tmp_path / "runs",
            plugins,
            plugins.context(role=plugins.role(role)),
            Asked(limits=Limits(backoff_s=0.001, timeout_s=timeout_s), options=options or {}),
            project=tmp_path,
            warn=said.append,
        )
        outcome = conclude(prepared, run(prepared, lambda progress: None))
        prepared.store.close()
        return outcome, said

    return compare
