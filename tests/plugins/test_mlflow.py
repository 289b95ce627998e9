"""Runs and promotions on a real MLflow with SQLite."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from baft import Context, Decision, Promotion
from baft.comparison import Asked, prepare
from baft.concluding import conclude
from baft.execution import run
from baft.loader import load_plugins, tell
from baft.store import Benchmark, find_benchmark

pytest.importorskip("mlflow")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

PROMOTION = Promotion(
    action="promote",
    role="ba",
    arm="new",
    spec="replay:good.jsonl",
    fingerprint="f1",
    run="artifacts/runs/r1",
    date="2026-01-02T03:04:05+00:00",
    config="config.yaml",
    sha256_before="0",
    sha256_after="1",
    backup="b",
    who="ada",
    host="bench",
)


def test_without_an_address_nothing_is_loaded_and_nothing_done():
    code = (
        "import sys\n"
        "from baft.loader import load_plugins, tell\n"
        "plugins = load_plugins()\n"
        "assert list(plugins.make('reporters', 'mlflow', {})(None, None, None)) == []\n"
        "tell(plugins, 'baft_candidate_promoted', print, promotion=None, env={})\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_without_the_package_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['mlflow'] = None\n"
        "import baft\n"
        "from baft.loader import load_plugins\n"
        "try: load_plugins().make('reporters', 'mlflow', {'MLFLOW_TRACKING_URI': 'sqlite://'})\n"
        "except baft.PluginError as error: print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "baft[mlflow]"' in done.stdout


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """An empty MLflow database: making one takes seconds, so that tests copy it."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def env(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # artifacts go to ./mlruns
    shutil.copyfile(database, tmp_path / "mlflow.db")
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}


@pytest.fixture
def client(env):
    from mlflow import MlflowClient

    return MlflowClient(env["MLFLOW_TRACKING_URI"], env["MLFLOW_TRACKING_URI"])


@pytest.fixture
def compared(env, tmp_path, write_replays):
    """A finished comparison of two replays, reported by all plugins."""
    plugins = load_plugins()
    frozen = find_benchmark("ba", None)
    benchmark = Benchmark(
        name="small",
        version=1,
        role="ba",
        dataset=frozen.dataset,
        metric="ba_requirements",
        models=write_replays(frozen),
        root=frozen.root,
    )
    said = []
    prepared = prepare(
        benchmark,
        write_replays.dataset,
        tmp_path / "runs",
        plugins,
        plugins.context(env=env),
        Asked(),
        project=tmp_path,
        warn=said.append,
    )
    outcome = conclude(prepared, run(prepared, lambda progress: None))
    assert said == []
    return prepared, outcome


class Replays:
    """Writes the examples' own references as answers: all of them, and every other one."""

    def __init__(self, folder):
        self._folder = folder

    def __call__(self, frozen):
        from pathlib import Path

        import yaml

        self.dataset = Path(frozen.root) / frozen.dataset
        rows = [json.loads(line) for line in self.dataset.read_text("utf-8").splitlines()]
        for name, step in (("good", 1), ("poor", 2)):
            with (self._folder / f"{name}.jsonl").open("w", encoding="utf-8") as out:
                for i, row in enumerate(rows):
                    text = yaml.safe_dump(row["requirements"]) if i % step == 0 else "no"
                    out.write(json.dumps({"concept": row["concept"], "output": text}) + "\n")
        return {
            "baseline": f"replay:{self._folder / 'poor.jsonl'}",
            "new": f"replay:{self._folder / 'good.jsonl'}",
        }


@pytest.fixture
def write_replays(tmp_path):
    return Replays(tmp_path)


def logged(client, name="baft-small"):
    """The MLflow runs of an experiment, by name."""
    experiment = client.get_experiment_by_name(name)
    return {found.info.run_name: found for found in client.search_runs([experiment.experiment_id])}


@pytest.mark.slow
def test_a_comparison_is_one_run_and_one_below_it_for_each_arm(compared, client):
    prepared, outcome = compared
    runs = logged(client)
    run_id = prepared.manifest.run_id
    assert set(runs) == {run_id, "baseline", "new"}
    whole, new = runs[run_id], runs["new"]
    assert whole.info.status == new.info.status == "FINISHED"
    assert new.data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert new.data.tags["baft.arm"] == "new"
    arm = outcome.report.arm("new")
    assert new.data.metrics["mean"] == arm.summary.mean
    assert new.data.metrics["n"] == 22
    assert new.data.metrics["points.title"] == arm.components["title"]
    assert new.data.params["fingerprint"] == arm.fingerprint
    assert whole.data.metrics["new.mean"] == arm.summary.mean
    assert whole.data.params["verdict"] == outcome.decision.verdict
    assert whole.data.params["dataset_sha256"] == prepared.manifest.dataset_sha256
    files = {found.path for found in client.list_artifacts(whole.info.run_id)}
    assert files == {"report.json", "report.md", "report.html", "decision.json", "run.json"}


@pytest.mark.slow
def test_a_run_that_is_reported_again_is_there_once(compared, client, env):
    prepared, outcome = compared
    reporter = load_plugins().make("reporters", "mlflow", env)
    list(reporter(outcome.report, outcome.decision, prepared.store.folder))
    assert len(client.search_runs([client.get_experiment_by_name("baft-small").experiment_id])) == 3


@pytest.mark.slow
def test_the_experiment_is_the_one_that_the_environment_names(compared, client, env):
    prepared, outcome = compared
    named = {**env, "MLFLOW_EXPERIMENT_NAME": "bench"}
    reporter = load_plugins().make("reporters", "mlflow", named)
    list(reporter(outcome.report, outcome.decision, prepared.store.folder))
    assert len(logged(client, "bench")) == 3
    assert logged(client) == {}


@pytest.mark.slow
def test_a_promotion_names_the_champion_and_a_rollback_takes_it_back(compared, client, env):
    prepared, _ = compared
    plugins, said = load_plugins(), []

    def told(**changes):
        promotion = replace(first, **changes)
        tell(plugins, "baft_candidate_promoted", said.append, promotion=promotion, env=env)
        assert said == []

    def champion():
        return client.get_model_version_by_alias("baft-ba", "champion")

    first = replace(PROMOTION, run=str(prepared.store.folder))
    told()
    assert champion().version in (1, "1")
    assert champion().run_id == logged(client)["new"].info.run_id
    assert champion().tags["baft.spec"] == "replay:good.jsonl"
    assert champion().tags["baft.config_sha256"] == "1"
    told(fingerprint="f2", spec="ollama:other", arm="gone")
    assert champion().tags["baft.fingerprint"] == "f2"
    assert not champion().run_id
    told()  # the first again: no third version
    assert champion().tags["baft.fingerprint"] == "f1"
    told(action="rollback", fingerprint="f2", arm="3")
    assert champion().tags["baft.fingerprint"] == "f2"
    assert len(client.search_model_versions("name='baft-ba'")) == 2
    told(action="rollback", fingerprint="", spec="", arm="1")
    assert client.get_registered_model("baft-ba").aliases == {}
    told(action="rollback", role="qa", fingerprint="f2", arm="1")
    assert not client.search_registered_models("name='baft-qa'")


@pytest.mark.slow
def test_a_server_that_cannot_be_used_changes_nothing(compared):
    prepared, outcome = compared
    said = []
    env = {"MLFLOW_TRACKING_URI": "gopher://nowhere"}
    prepared.context = Context(open=print, env=env)
    prepared.warn = said.append
    again = conclude(prepared, [])
    assert isinstance(again.decision, Decision)
    assert again.decision.verdict == outcome.decision.verdict
    assert [text for text in said if text.startswith("Reporter 'mlflow' failed")]
    tell(load_plugins(), "baft_candidate_promoted", said.append, promotion=PROMOTION, env=env)
    assert "Plugin 'mlflow' failed in baft_candidate_promoted" in said[-1]
