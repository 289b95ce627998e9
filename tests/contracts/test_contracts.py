"""The contract checks, over everything that the registered plugins offer."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from baft import Generation
from baft.loader import load_plugins
from baft.testing import (
    FakeOllama,
    FakeOpenAI,
    check_backend,
    check_metric,
    check_role,
    prompt_of,
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
    path = tmp_path / "outputs.jsonl"
    ids = ("one", "two", "three", "e1")
    path.write_text("".join(json.dumps({"id": i, "output": i}) + "\n" for i in ids), "utf-8")
    yield f"replay:{path}", None


@contextmanager
def ollama(tmp_path):
    pytest.importorskip("aiohttp")
    with FakeOllama() as server:
        yield f"ollama:mistral:7b-instruct@{server.url}", "ollama:m@127.0.0.1:1"


@contextmanager
def openai(tmp_path):
    pytest.importorskip("aiohttp")
    with FakeOpenAI() as server:
        yield f"openai:tiny@{server.url}/v1", "openai:m@http://127.0.0.1:1/v1"


SPECS = {"replay": replay, "ollama": ollama, "openai": openai}
"""A spec that answers anything, and one that cannot be reached, for each scheme."""

ELSEWHERE = {"dspy", "hf", "lora"}
"""Schemes that need a role or weights: their own tests call ``check_backend``."""


def test_no_backend_is_forgotten():
    assert set(PLUGINS.names("backends")) <= set(SPECS) | ELSEWHERE


@pytest.mark.parametrize("scheme", [s for s in PLUGINS.names("backends") if s not in ELSEWHERE])
def test_backend(scheme, tmp_path):
    def opening(spec):
        return lambda: PLUGINS.open(spec, PLUGINS.context())

    with SPECS[scheme](tmp_path) as (spec, unreachable):
        check_backend(
            opening(spec),
            [prompt_of(f"Say {word}.", word) for word in ("one", "two", "three")],
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
