"""The executor ``ray`` on a real cluster of several nodes, one of which is killed in the middle."""

from __future__ import annotations

import textwrap
import threading
import time

import pytest

import baft
from baft.comparison import Asked, prepare
from baft.concluding import conclude
from baft.execution import run
from baft.loader import load_plugins
from baft.records import Decoding, Limits, Policy
from baft.store import Benchmark

ray = pytest.importorskip("ray")
from baft_ray.executor import Needs, RayExecutor  # noqa: E402

PLUGIN = """
import asyncio, os, pathlib, time
from baft import Generation, hookimpl

class Slow:
    batch_size, max_concurrency = 1, 2

    def __init__(self, target, context):
        self.spec, self.log = f"slow:{target}", pathlib.Path(target)

    def fingerprint(self):
        return "slow"

    def describe(self):
        return {"in_process": True}

    async def generate(self, prompts, decoding):
        await asyncio.sleep(0.25)
        with self.log.open("a") as log:
            log.write(f"{os.getpid()} {prompts[0].example_id}\\n")
        text = f"title: About {prompts[0].inputs['concept']}"
        return [Generation(example_id=p.example_id, text=text) for p in prompts]

    async def close(self):
        pass

@hookimpl
def baft_register_backends(register):
    register("slow", Slow)
"""
ROWS = 40


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "slow_plugin.py").write_text(textwrap.dedent(PLUGIN))
    info = tmp_path / "slow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[baft]\nslow = slow_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # of the nodes' processes
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    lines = "".join(f'{{"id": "e{i}", "concept": "product {i}"}}\n' for i in range(ROWS))
    (tmp_path / "d.jsonl").write_text(lines)
    return tmp_path


def compare(project, executor, folder):
    plugins = load_plugins()
    benchmark = Benchmark(
        name="b",
        version=1,
        role="ba",
        dataset=str(project / "d.jsonl"),
        metric="ba_requirements",
        models={"baseline": f"slow:{project}/{folder}.log"},
        decoding=Decoding(),
        policy=Policy(audit=False),
    )
    prepared = prepare(
        benchmark,
        project / "d.jsonl",
        project / folder,
        plugins,
        plugins.context(role=plugins.role("ba")),
        Asked(limits=Limits(), options={"executor": executor, "no_cache": True}),
        project=project,
        warn=lambda text: None,
    )
    problems = run(prepared, lambda progress: None)
    outcome = conclude(prepared, problems)
    rows = list(prepared.store.results("baseline"))
    prepared.store.close()
    log = (project / f"{folder}.log").read_text().split("\n")[:-1]
    return problems, outcome.report.arms[0], rows, [line.split() for line in log]


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_node_killed_in_the_middle_loses_nothing_and_scores_nothing_twice(project, monkeypatch):
    from ray.cluster_utils import Cluster

    _, local, _, _ = compare(project, "local", "here")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        killed = threading.Event()

        def kill():
            log = project / "there.log"
            while not log.exists() or log.read_text().count("\n") < 12:
                time.sleep(0.05)
            cluster.remove_node(nodes[0], allow_graceful=False)
            killed.set()

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        problems, there, rows, log = compare(project, "ray?shard=4", "there")
        killer.join(30)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed.is_set()
    assert problems == []
    assert there.scores == local.scores
    assert (there.summary, there.failed) == (local.summary, {})
    assert sorted(r.example_id for r in rows) == sorted(f"e{i}" for i in range(ROWS))
    assert len({pid for pid, _ in log}) >= 2
    assert len({id_ for _, id_ in log}) == ROWS


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_without_a_cluster_one_is_started_and_too_large_an_actor_is_refused(project, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    problems, arm, _, _ = compare(project, "ray?actors=1&shard=20", "alone")
    assert problems == []
    assert len(arm.scores) == ROWS
    problems, _, _, _ = compare_gone(project)
    assert "has no room for an actor with 1 CPU, 4000 GPU" in problems[0]


def compare_gone(project):
    (project / "large.log").write_text("")
    return compare(project, "ray?gpus=4000", "large")


@pytest.mark.parametrize("option", ["gpu=1", "gpus=many", "actors=0", "memory=-1G"])
def test_a_wrong_option_is_refused(option):
    name, _, value = option.partition("=")
    with pytest.raises(baft.UsageError):
        RayExecutor({name: value})


def test_an_arm_s_own_option_stands_above_the_common_one():
    options = {"finetuned.gpus": "2", "gpus": "1", "memory": "1.5G"}
    assert Needs.of(options, "finetuned") == Needs(gpus=2.0, memory=3 << 29)
    assert Needs.of(options, "baseline") == Needs(gpus=1.0, memory=3 << 29)
