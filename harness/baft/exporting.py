"""What an exported model is judged by: the same examples, against the model it was made from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from . import stats
from .errors import DataError, UsageError, did_you_mean
from .store import Benchmark, RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .records import ArmManifest, Manifest, PairedTest, Report

EXPORTED = "exported"
"""Name of the served model among the arms of its run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is exported, and what it is measured on."""

    arm: str
    """Name of the model among the benchmark's."""
    benchmark: Benchmark
    """Holds the model and, where that is another arm, the incumbent of its run."""
    fingerprint: str = ""
    """Of the model as it was measured; empty where it is measured anew."""
    scores: Mapping[str, float] | None = None
    """As measured, mean over repeats by example id; None where it is measured anew."""
    limit: int | None = None
    repeats: int = 1
    options: Mapping[str, Any] | None = None
    """What models of the run were opened with."""

    def beside(self, served: str, max_loss: float) -> Benchmark:
        """The benchmark on which the served model is scored, with the one it is to replace.

        That is the run's incumbent, so that the decision is the ordinary one; the model itself
        where it is the incumbent or was not measured yet. The policy holds ``max_loss`` too, so
        that no promotion of this run adopts a model that lost more.
        """
        others = [name for name in self.benchmark.models if name != self.arm]
        policy = self.benchmark.policy
        if others and self.scores is not None:
            other = others[0]
            least = stats.mean(list(self.scores.values())) - max_loss
            policy = replace(policy, threshold=min(1.0, max(policy.threshold, least)))
        else:
            other = self.arm
            policy = replace(policy, not_worse=True, min_gain=-max_loss)
        models = {other: self.benchmark.models[other], EXPORTED: served}
        return replace(self.benchmark, models=models, incumbent=other, policy=policy)

    def loss(self, report: Report) -> PairedTest:
        """The model's gain over the served one, on the examples that both have a score for."""
        arms = {arm.name: arm.scores for arm in report.arms}
        scores = self.scores if self.scores is not None else arms[self.arm]
        return stats.compare(self.arm, EXPORTED, {self.arm: scores, EXPORTED: arms[EXPORTED]})


def source_of_run(folder: Path, name: str | None) -> Source:
    """An arm of a run that is over, by default the candidate of its decision.

    Raises:
        DataError: there is no such run, or the arm was not scored.
        UsageError: the run has no such arm.
    """
    store = RunStore.open(folder)
    try:
        manifest = store.manifest()
        name = name or store.decision().candidate or manifest.incumbent
        arm = _arm(manifest, name)
        by_example = defaultdict(list)
        for row in store.score_rows(name):
            if row.value is not None:
                by_example[row.example_id].append(row.value)
    finally:
        store.close()
    if not by_example:
        raise DataError(
            f"{name} has no score in {folder}.", f"Go on with: baft compare --resume {folder}"
        )
    incumbent = next((a for a in manifest.arms if a.name == manifest.incumbent), arm)
    return Source(
        arm=name,
        benchmark=_benchmark(manifest, {incumbent.name: incumbent.spec, name: arm.spec}),
        fingerprint=arm.fingerprint,
        scores={key: stats.mean(values) for key, values in by_example.items()},
        limit=manifest.limit,
        repeats=manifest.repeats,
        options=manifest.options,
    )


def _arm(manifest: Manifest, name: str) -> ArmManifest:
    found = {arm.name: arm for arm in manifest.arms}
    if name not in found:
        raise UsageError(f"The run has no arm {name!r}.", did_you_mean(name, found))
    if found[name].spec.startswith("replay:"):
        raise UsageError(
            f"{name} is a replay: its answers were generated elsewhere.",
            "Name the model behind it: baft export lora:DIR --benchmark NAME.",
        )
    return found[name]


def _benchmark(manifest: Manifest, models: Mapping[str, str]) -> Benchmark:
    """What the run asked, to be asked again; its paths start where the run was begun."""
    return Benchmark(
        name=manifest.benchmark,
        version=manifest.benchmark_version,
        role=manifest.role,
        dataset=manifest.dataset,
        dataset_sha256=manifest.dataset_sha256,
        train=manifest.train,
        sealed=manifest.sealed,
        sealed_sha256=manifest.sealed_sha256,
        metric=manifest.metric,
        metric_version=manifest.metric_version,
        extraction=manifest.extraction,
        decoding=manifest.decoding,
        policy=manifest.policy,
        models=models,
        root=str(manifest.options.get("cwd", ".")),
    )
