"""A report and a decision as a comparison leaves them, for rules and reporters to try."""

from __future__ import annotations

from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

from ..records import (
    ArmReport,
    Decision,
    Decoding,
    Interval,
    PairedTest,
    Report,
    RuleResult,
    Summary,
    Usage,
    ValidityShares,
    digest,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

INCUMBENT = "baseline"
"""The arm in service of a sample report."""

MEANS = {INCUMBENT: 0.6, "finetuned": 0.9}


def sample_report(n: int = 3, *, failed: Collection[str] = ()) -> Report:
    """Two arms over ``n`` examples: baseline around 0.6, finetuned around 0.9.

    Args:
        n: examples; 0 is an empty report, as a run that never began leaves it.
        failed: arms without a single score.
    """
    arms = tuple(_arm(name, n, name in failed) for name in MEANS)
    return Report(
        run_id="20260101T000000Z-sample-0000",
        date="2026-01-01T00:00:00+00:00",
        benchmark="sample",
        role="ba",
        dataset="sample.jsonl",
        dataset_sha256=digest(["sample", n]),
        num_examples=n,
        metric="sample",
        metric_version=1,
        attainable_max=1.0,
        component_max={"form": 0.5, "content": 0.5},
        extraction="lenient",
        decoding=Decoding(),
        repeats=1,
        arms=arms,
        tests=(_test(arms, n),),
        notes=("This report is a sample.",),
        tags={key: {"tier": "basic"} for key in arms[0].scores},
    )


def sample_decision(report: Report) -> Decision:
    """The decision on a sample report: its last arm is promoted where it has a mean."""
    candidate = report.arms[-1]
    mean = candidate.summary.mean
    passed = mean is not None
    rule = RuleResult(
        name="threshold",
        passed=passed,
        observed=mean,
        required="mean >= 0.8535",
        why="The mean reaches the threshold." if passed else "There is no mean.",
        strength="clear" if passed else "cannot decide",
    )
    return Decision(
        verdict="promote" if passed else "keep",
        conclusive=passed,
        strength=rule.strength,
        candidate=candidate.name,
        incumbent=INCUMBENT,
        rules=(rule,),
        next_steps=("Nothing: this is a sample.",),
        run=report.run_id,
    )


def _arm(name: str, n: int, failed: bool) -> ArmReport:
    ids = [f"e{i}" for i in range(n)]
    scores = {} if failed else {key: MEANS[name] + 0.01 * (i % 5) for i, key in enumerate(ids)}
    mean = fmean(scores.values()) if scores else None
    return ArmReport(
        name=name,
        spec=f"replay:{name}.jsonl",
        fingerprint=digest(name),
        config={"provider": "replay"},
        expected=n,
        scores=scores,
        failed={key: "The server was down." for key in ids if key not in scores},
        summary=_summary(scores, n),
        components={"form": mean / 2, "content": mean / 2} if mean is not None else {},
        validity=ValidityShares(
            as_is=1.0 if scores else 0.0,
            extracted=0.0,
            none=0.0,
            mean_other=mean,
            n=len(scores),
        ),
        usage=Usage(prompt_tokens=10 * n, completion_tokens=5 * n, wall_s=0.1 * n),
    )


def _summary(scores: Mapping[str, float], n: int) -> Summary:
    values = list(scores.values())
    mean = fmean(values) if values else None
    return Summary(
        n=len(values),
        failures=n - len(values),
        mean=mean,
        median=median(values) if values else None,
        std=stdev(values) if len(values) > 1 else None,
        min=min(values, default=None),
        max=max(values, default=None),
        pass_rate_08=_share(values, 0.8),
        pass_rate_09=_share(values, 0.9),
        perfect_rate=_share(values, 1.0),
        ci95=Interval(low=min(values), high=max(values)) if len(values) > 1 else None,
    )


def _share(values: Sequence[float], bound: float) -> float | None:
    return fmean(value >= bound for value in values) if values else None


def _test(arms: Sequence[ArmReport], n: int) -> PairedTest:
    """Finetuned against baseline; the figures are made up."""
    a, b = arms[1], arms[0]
    shared = [key for key in a.scores if key in b.scores]
    return PairedTest(
        a=a.name,
        b=b.name,
        n=len(shared),
        mean_difference=0.3 if shared else None,
        ci95=Interval(low=0.25, high=0.35) if len(shared) > 1 else None,
        wins=len(shared),
        losses=0,
        ties=0,
        sign_flip_p=0.25 if shared else None,
        wilcoxon_p=0.25 if shared else None,
        holm_p=0.25 if shared else None,
        effect_size=None,
        smallest_detectable=0.05 if len(shared) > 1 else None,
    )
