"""From a run store to a report: numbers are read row by row, texts only for the audit."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from dataclasses import replace
from itertools import combinations, groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from . import stats
from .audit import SAMPLE, Answer, audit_arm, selected_on
from .records import ArmReport, Report, Usage, ValidityShares

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .protocols import Metric
    from .records import ArmManifest, Audit, Example, Looks, Manifest, PairedTest
    from .store.lineage import Source
    from .store.rows import ScoreRow
    from .store.runs import RunStore, Sittings

TAG_LENGTH = 80
"""Longer values of a tag are prose and group nothing."""

NUMBER = re.compile(r"\d+(\.\d+)?")

KINDS = 5
"""So many kinds of notes on answers are told of each arm, the most frequent ones."""

NOTE_LENGTH = 300
"""Most characters of a note in the summary; some quote what a server said."""


def build_report(
    store: RunStore,
    manifest: Manifest,
    metric: Metric,
    sources: Mapping[str, Sequence[Source]] | None = None,
    looks: Looks | None = None,
) -> Report:
    """The report of a run that is over, finished or not.

    Args:
        store: the run.
        manifest: what it was asked.
        metric: the run's metric, for the audit.
        sources: by arm, the data it was made from, for the audit.
        looks: how often the dataset was asked.
    """
    examples = store.examples()
    arms = tuple(
        _arm_report(store, manifest, arm, metric, examples, (sources or {}).get(arm.name, ()))
        for arm in manifest.arms
    )
    return Report(
        run_id=manifest.run_id,
        date=manifest.date,
        benchmark=manifest.benchmark,
        role=manifest.role,
        dataset=manifest.dataset,
        dataset_sha256=manifest.dataset_sha256,
        num_examples=manifest.num_examples,
        metric=manifest.metric,
        metric_version=manifest.metric_version,
        attainable_max=manifest.attainable_max,
        floor=manifest.floor,
        ceilings=dict(manifest.ceilings),
        component_max=dict(manifest.component_max),
        extraction=manifest.extraction,
        decoding=manifest.decoding,
        repeats=manifest.repeats,
        arms=arms,
        tests=paired_tests(arms),
        notes=(*_notes(manifest, arms), *_noted(store, arms)),
        tags={example.id: _tags(example) for example in examples if example.tags},
        looks=looks,
    )


def _tags(example: Example) -> dict[str, str]:
    """The example's tags that can group examples: short single values, as text on one line."""
    found = {
        name: " ".join(str(value).split())
        for name, value in example.tags.items()
        if isinstance(value, (str, int, float, bool))
    }
    return {name: text for name, text in found.items() if 0 < len(text) <= TAG_LENGTH}


def paired_tests(arms: Sequence[ArmReport]) -> tuple[PairedTest, ...]:
    """Every pair, the later arm minus the earlier one, p-values Holm-corrected over all pairs."""
    scores = {arm.name: arm.scores for arm in arms}
    tests = [stats.compare(b.name, a.name, scores) for a, b in combinations(arms, 2)]
    corrected = stats.holm([test.sign_flip_p for test in tests])
    return tuple(replace(t, holm_p=p) for t, p in zip(tests, corrected, strict=True))


def _arm_report(
    store: RunStore,
    manifest: Manifest,
    arm: ArmManifest,
    metric: Metric,
    examples: Sequence[Example],
    sources: Sequence[Source],
) -> ArmReport:
    scores: dict[str, float] = {}
    failed: dict[str, str] = {}
    repeats: list[list[float]] = []
    components: Counter[str] = Counter()
    validity: Counter[str] = Counter()
    others, used = array("d"), _Used()
    scored = 0
    for id_, rows in groupby(store.score_rows(arm.name), key=attrgetter("example_id")):
        values = []
        for row in rows:
            if row.failure is not None or row.value is None:
                failed.setdefault(id_, row.failure or "no score")
            else:
                values.append(row.value)
                components.update(row.components)
            if row.validity is not None:
                validity[row.validity] += 1
            if row.other_score is not None:
                others.append(row.other_score)
            used.add(row)
        scored += len(values)
        if id_ not in failed and len(values) == manifest.repeats:
            scores[id_] = stats.mean(values)
            if manifest.repeats > 1:
                repeats.append(values)
    parsed = sum(validity.values())
    return ArmReport(
        name=arm.name,
        spec=arm.spec,
        fingerprint=arm.fingerprint,
        config=arm.config,
        expected=manifest.num_examples * manifest.repeats,
        scores=scores,
        failed=failed,
        summary=stats.summarise(
            list(scores.values()), len(examples) - len(scores), repeats=repeats
        ),
        components={
            name: components[name] / scored if scored else 0.0 for name in manifest.component_max
        },
        validity=ValidityShares(
            as_is=validity["as_is"] / parsed if parsed else 0.0,
            extracted=validity["extracted"] / parsed if parsed else 0.0,
            none=validity["none"] / parsed if parsed else 0.0,
            mean_other=stats.mean(others) if others else None,
            n=parsed,
        ),
        usage=used.usage(store.sittings(arm.name), store.cached(arm.name)),
        audit=_audit(store, arm.name, metric, examples, scores, sources),
        selected_on=selected_on(examples, manifest.dataset_sha256, sources),
    )


class _Used:
    """What the rows of an arm add up to; of each, only its times are kept."""

    def __init__(self) -> None:
        self._prompt = self._completion = self._truncated = self._answered = self._uncounted = 0
        self._latencies, self._first = array("d"), array("d")

    def add(self, row: ScoreRow) -> None:
        """Count one row."""
        self._prompt += row.prompt_tokens or 0
        self._completion += row.completion_tokens or 0
        self._truncated += row.finish_reason == "length"
        if row.finish_reason is not None:
            self._answered += 1
            self._uncounted += row.completion_tokens is None
        if row.latency_s is not None:
            self._latencies.append(row.latency_s)
        if row.first_token_s is not None:
            self._first.append(row.first_token_s)

    def usage(self, took: Sittings, cached: tuple[int, int]) -> Usage:
        """The sums, with what the store knows of the arm as a whole."""
        made = self._completion - cached[1]
        counted = self._answered > 0 and not self._uncounted
        return Usage(
            prompt_tokens=self._prompt,
            completion_tokens=self._completion,
            latency_p50_s=stats.percentile(self._latencies, 0.5),
            latency_p95_s=stats.percentile(self._latencies, 0.95),
            tokens_per_s=made / took.wall_s if made > 0 and took.wall_s else None,
            wall_s=took.wall_s,
            truncated=self._truncated,
            cached=cached[0],
            tokens_per_example=self._completion / self._answered if counted else None,
            first_token_p50_s=stats.percentile(self._first, 0.5),
            first_token_p95_s=stats.percentile(self._first, 0.95),
            retried=took.retried,
            peak_memory_bytes=took.peak_memory_bytes,
        )


def _audit(
    store: RunStore,
    arm: str,
    metric: Metric,
    examples: Sequence[Example],
    scored: Mapping[str, float],
    sources: Sequence[Source],
) -> Audit | None:
    n = len(scored)
    if n == 0:
        return None
    step = max(1, -(-n // SAMPLE))
    answers = []
    for example in store.some(islice(scored, None, None, step)):
        result = next(store.results(arm, example.id))
        if result.prediction is not None and result.score is not None:
            answers.append(
                Answer(
                    example=example,
                    prediction=result.prediction,
                    score=result.score.value,
                )
            )
    return audit_arm(answers, metric, sources, examples=examples, of=n)


def _notes(manifest: Manifest, arms: Sequence[ArmReport]) -> list[str]:
    notes = []
    if manifest.limit is not None:
        notes.append(
            f"Smoke run: only the first {manifest.num_examples} examples (--limit "
            f"{manifest.limit})."
        )
    if manifest.skipped:
        notes.append(f"{manifest.skipped} invalid lines of the dataset were skipped.")
    if manifest.metric_version == 0:
        notes.append(
            f"The metric {manifest.metric} is experimental: its rules may change, and with them "
            "every score."
        )
    for arm in arms:
        if arm.usage.truncated:
            notes.append(
                f"{arm.name}: {arm.usage.truncated} of {arm.expected} outputs were cut off by a "
                "token limit."
            )
        if arm.usage.cached:
            notes.append(
                f"{arm.name}: {arm.usage.cached} of {arm.expected} answers came from the cache "
                "(--no-cache asks again)."
            )
        if arm.selected_on:
            notes.append(f"{arm.name}: {arm.selected_on}.")
    samplings = {arm.name: _sampling(arm.config) for arm in arms}
    if len(set(samplings.values()) - {None}) > 1:
        parts = "; ".join(f"{name}: {how}" for name, how in samplings.items() if how)
        notes.append(f"The arms do not draw tokens alike. {parts}.")
    for a, b in combinations(arms, 2):
        if a.fingerprint and a.fingerprint == b.fingerprint:
            notes.append(f"{a.name} and {b.name} are the same model (equal fingerprints).")
    maxima = [arm.summary.max for arm in arms if arm.summary.max is not None]
    if maxima and max(maxima) > manifest.attainable_max + 1e-9:
        notes.append("A score lies above the metric's attainable maximum: check the metric.")
    return notes


def _noted(store: RunStore, arms: Sequence[ArmReport]) -> Iterator[str]:
    """What backends noted on answers: empty ones, prompts cut off, thinking set apart.

    Notes that differ in numbers alone are counted together, and the first one speaks for them.
    """
    for arm in arms:
        counts: Counter[str] = Counter()
        first: dict[str, str] = {}
        for notes, count in store.notes(arm.name):
            for note in notes:
                kind = NUMBER.sub("#", note)
                counts[kind] += count
                first.setdefault(kind, note)
        for kind, count in counts.most_common(KINDS):
            said = first[kind][:NOTE_LENGTH]
            yield f"{arm.name}: noted on {count} of {arm.expected} answers: {said}"
        if len(counts) > KINDS:
            yield f"{arm.name}: {len(counts) - KINDS} further kinds of notes; see the examples."


def _sampling(config: Mapping[str, Any]) -> str | None:
    """What shapes a model's draws, as it or the model under it says."""
    under = config.get("lm")
    return config.get("sampling") or (_sampling(under) if isinstance(under, dict) else None)
