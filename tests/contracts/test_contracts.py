"""The contract checks, over everything that the registered plugins offer."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from baft import Generation, Policy
from baft.loader import load_plugins
from baft.rules import apply_rules
from baft.testing import (
    FakeModel,
    FakeOllama,
    FakeOpenAI,
    check_backend,
    check_metric,
    check_reporter,
    check_role,
    check_rule,
    prompt_of,
    sample_report,
)
from baft_dev import sandbox
from pipeline_rows import architect_row, owner_row

PLUGINS = load_plugins()
DATA = Path(__file__).parents[2] / "artifacts" / "synthetic"
ROWS = {
    "ba": DATA / "ba_val_v2_fixed.jsonl",
    "dev": DATA / "dev_stories.jsonl",
    "qa": DATA / "qa_stories.jsonl",
    "qa_report": DATA / "qa_implementations.jsonl",
}
"""Rows for each role, as many as the checks want."""

WRITTEN = {
    "product_owner": owner_row,
    "architect": architect_row,
    "architect_stories": architect_row,
    "architect_arch": architect_row,
}
"""Roles whose rows are written by hand."""

BESIDE = {"architect": ("architect_v1",)}
"""Metrics that are no role's own, by the role whose answers they score."""


def rows(role):
    if role in WRITTEN:
        return [WRITTEN[role]()]
    if role not in ROWS:
        pytest.skip(f"no rows for the role {role}")
    with ROWS[role].open(encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, 5)]


@contextmanager
def replay(tmp_path):
    specs = []
    for name in ("outputs", "others"):
        path = tmp_path / f"{name}.jsonl"
        rows = [{"id": i, "output": f"{name} {i}"} for i in ("one", "two", "three", "e1")]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        specs.append(f"replay:{path}")
    yield *specs, None


@contextmanager
def ollama(tmp_path):
    pytest.importorskip("aiohttp")
    models = {"m:latest": FakeModel(), "n:latest": FakeModel(weights="other weights")}
    with FakeOllama(models=models) as server:
        yield f"ollama:m@{server.url}", f"ollama:n@{server.url}", "ollama:m@127.0.0.1:1"


@contextmanager
def openai(tmp_path):
    pytest.importorskip("aiohttp")
    with FakeOpenAI() as server:
        specs = (f"openai:{name}@{server.url}/v1" for name in ("tiny", "other"))
        yield *specs, "openai:m@http://127.0.0.1:1/v1"


SPECS = {"replay": replay, "ollama": ollama, "openai": openai}
"""A spec that answers anything, one of another model, and one that cannot be reached."""

ELSEWHERE = {"dspy", "hf", "lora"}
"""Schemes that need a role or weights: see ``test_local_contracts.py``, which is slow."""


def test_no_backend_is_forgotten():
    assert set(PLUGINS.names("backends")) <= set(SPECS) | ELSEWHERE


@pytest.mark.parametrize("scheme", [s for s in PLUGINS.names("backends") if s not in ELSEWHERE])
def test_backend(scheme, tmp_path):
    def opening(spec):
        return lambda: PLUGINS.open(spec, PLUGINS.context())

    with SPECS[scheme](tmp_path) as (spec, other, unreachable):
        check_backend(
            opening(spec),
            [prompt_of(f"Say {word}.", word) for word in ("one", "two", "three")],
            other=opening(other),
            unreachable=opening(unreachable) if unreachable else None,
        )


@pytest.mark.parametrize("name", PLUGINS.names("roles"))
def test_role(name):
    check_role(PLUGINS.role(name), rows(name))


@pytest.mark.parametrize("name", PLUGINS.names("roles"))
def test_metric_of_role(name):
    role = PLUGINS.role(name)
    if name == "dev" and sandbox.problem():
        pytest.skip(sandbox.problem())
    cases = []
    for row in rows(name):
        example = role.example(row)
        for text in (role.target(example), "prose", ""):
            answer = Generation(example_id=example.id, text=text)
            cases.append((example, role.parse(answer, "lenient")))
    for metric in (role.metric, *BESIDE.get(name, ())):
        check_metric(PLUGINS.metric(metric), cases)


@pytest.mark.parametrize("name", PLUGINS.names("metrics"))
def test_a_metric_is_offered_as_experimental_where_its_version_is_0(name):
    offer = PLUGINS.offer("metrics", name)
    if name == "developer_code" and sandbox.problem():
        pytest.skip(sandbox.problem())
    assert offer.experimental == (offer.factory().version == 0)


def test_every_metric_is_the_metric_of_a_role():
    of_roles = {PLUGINS.role(name).metric for name in PLUGINS.names("roles")}
    assert set(PLUGINS.names("metrics")) <= of_roles.union(*BESIDE.values())


def test_no_trainer_is_forgotten():
    assert PLUGINS.names("trainers") == ["lora"]  # see test_local_contracts.py


EVERY_RULE = Policy(
    min_gain=0.01,
    retention=0.9,
    gain_over_simpler={"finetuned": 0.01, "baseline": 0.01},
    min_validity=0.5,
    max_std=0.5,
    floor=0.1,
    tags={"tier": 0.5},
    max_latency_s=9.0,
    max_tokens_per_example=99.0,
)
ARMS = ("finetuned", "baseline")
RULES = [result.name for result in apply_rules(sample_report(3), EVERY_RULE, *ARMS)]


@pytest.mark.parametrize("name", RULES)
def test_rule_of_the_gate(name):
    def rule(report, policy, candidate, incumbent):
        results = apply_rules(report, policy, candidate, incumbent)
        return next(result for result in results if result.name == name)

    check_rule(rule, EVERY_RULE)


@pytest.mark.parametrize("name", PLUGINS.names("gate_rules"))
def test_rule(name):
    check_rule(PLUGINS.make("gate_rules", name))


@pytest.mark.parametrize("name", PLUGINS.names("reporters"))
def test_reporter(name, tmp_path):
    check_reporter(lambda env: PLUGINS.make("reporters", name, env), tmp_path)
