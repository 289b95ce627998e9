"""A comparison as MLflow runs: one for the whole, and one below it for each arm."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import baft

FILES = ("report.json", "report.md", "report.html", "decision.json", "run.json")
"""What is logged of a run's folder; the store with every answer stays at home."""

LONGEST = 500
"""Characters of a parameter that every MLflow store takes."""

RUN, ARM = "baft.run", "baft.arm"
"""Tags: the run's id, on all of its MLflow runs, and the arm's name, on the arm's own."""


class MlflowReporter:
    """Logs to the server that ``MLFLOW_TRACKING_URI`` names, in ``MLFLOW_EXPERIMENT_NAME``."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._client = client_for(env)
        self._experiment = env.get("MLFLOW_EXPERIMENT_NAME", "")

    def __call__(self, report: baft.Report, decision: baft.Decision, run: Path) -> Iterator[Path]:
        """Log a comparison; one that was logged before is replaced."""
        experiment = self._experiment_id(self._experiment or f"baft-{report.benchmark}")
        for earlier in runs_of(self._client, report.run_id):
            self._client.delete_run(earlier.info.run_id)
        parent = self._log(
            experiment,
            report.run_id,
            tags={RUN: report.run_id, "baft.verdict": decision.verdict},
            params=_params(report, decision),
            metrics={f"{arm.name}.mean": arm.summary.mean for arm in report.arms},
        )
        for name in FILES:
            if (run / name).is_file():
                self._client.log_artifact(parent, str(run / name))
        for arm in report.arms:
            self._log(
                experiment,
                arm.name,
                tags={RUN: report.run_id, ARM: arm.name, MLFLOW_PARENT_RUN_ID: parent},
                params={"spec": arm.spec, "fingerprint": arm.fingerprint, **_told(arm.config)},
                metrics=_metrics(arm),
            )
        self._client.set_terminated(parent)
        yield from ()

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        known: str = found.experiment_id if found else self._client.create_experiment(name)
        return known

    def _log(
        self,
        experiment: str,
        name: str,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float | None],
    ) -> str:
        """One MLflow run; returns its id. One with a parent is over when it is logged."""
        made = self._client.create_run(experiment, tags={**tags, MLFLOW_RUN_NAME: name})
        now = get_current_time_millis()
        self._client.log_batch(
            made.info.run_id,
            metrics=[Metric(_key(k), v, now, 0) for k, v in metrics.items() if v is not None],
            params=[Param(_key(k), str(v)[:LONGEST]) for k, v in params.items() if v is not None],
            tags=[RunTag(RUN, tags[RUN])],
        )
        if MLFLOW_PARENT_RUN_ID in tags:
            self._client.set_terminated(made.info.run_id)
        run_id: str = made.info.run_id
        return run_id


def client_for(env: Mapping[str, str]) -> MlflowClient:
    """The client of the servers that the environment names."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    uri = env["MLFLOW_TRACKING_URI"]
    return MlflowClient(tracking_uri=uri, registry_uri=env.get("MLFLOW_REGISTRY_URI") or uri)


def runs_of(client: MlflowClient, run_id: str, arm: str = "") -> list[Any]:
    """The MLflow runs of a comparison, or of one of its arms; newest first."""
    experiments = [found.experiment_id for found in client.search_experiments()]
    wanted = f"tags.`{RUN}` = '{_quoted(run_id)}'"
    if arm:
        wanted += f" AND tags.`{ARM}` = '{_quoted(arm)}'"
    return list(client.search_runs(experiments, wanted, ViewType.ACTIVE_ONLY))


def _params(report: baft.Report, decision: baft.Decision) -> dict[str, Any]:
    return {
        "benchmark": report.benchmark,
        "role": report.role,
        "dataset": report.dataset,
        "dataset_sha256": report.dataset_sha256,
        "num_examples": report.num_examples,
        "metric": f"{report.metric} v{report.metric_version}",
        "extraction": report.extraction,
        "repeats": report.repeats,
        "temperature": report.decoding.temperature,
        "max_tokens": report.decoding.max_tokens,
        "seed": report.decoding.seed,
        "num_ctx": report.decoding.num_ctx,
        "incumbent": decision.incumbent,
        "candidate": decision.candidate,
        "verdict": decision.verdict,
        "strength": decision.strength,
        "policy": decision.policy.name if decision.policy else None,
        "threshold": decision.policy.threshold if decision.policy else None,
    }


def _told(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a backend says of itself, as far as it is a plain value."""
    return {f"config.{k}": v for k, v in config.items() if isinstance(v, (str, int, float, bool))}


def _metrics(arm: baft.ArmReport) -> dict[str, float | None]:
    summary, usage = arm.summary, arm.usage
    return {
        "mean": summary.mean,
        "median": summary.median,
        "std": summary.std,
        "min": summary.min,
        "max": summary.max,
        "n": summary.n,
        "failures": summary.failures,
        "ci95_low": summary.ci95.low if summary.ci95 else None,
        "ci95_high": summary.ci95.high if summary.ci95 else None,
        "pass_rate_0.8": summary.pass_rate_08,
        "pass_rate_0.9": summary.pass_rate_09,
        "perfect_rate_1.0": summary.perfect_rate,
        "tokens_per_s": usage.tokens_per_s,
        "latency_p95_s": usage.latency_p95_s,
        "truncated": usage.truncated,
        **{f"points.{name}": points for name, points in arm.components.items()},
    }


def _key(name: str) -> str:
    """A name as MLflow takes it.

    >>> _key("pass rate (0.8)"), _key("../x")
    ('pass rate _0.8_', '__x')
    """
    return re.sub(r"^\.+|[^\w. -]", "_", name, flags=re.ASCII)


def _quoted(text: str) -> str:
    """Text for a filter; MLflow's grammar knows no escape, so a quote matches nothing."""
    return text.replace("'", "_")
