"""A finished run as a store holds it: three arms, 22 examples, and what models really do wrong."""

from __future__ import annotations

import json
from pathlib import Path

from baft.records import (
    ArmManifest,
    ArmReport,
    Audit,
    AuditFinding,
    Decision,
    Decoding,
    Evidence,
    Example,
    Failure,
    Generation,
    Limits,
    Manifest,
    Message,
    NullArm,
    Policy,
    Prediction,
    Prompt,
    Report,
    RuleResult,
    Score,
    Scored,
    Usage,
    ValidityShares,
)
from baft.stats import compare, summarise
from baft.store import RunStore
from baft.store.runs import Sittings

ARMS = ("baseline", "optimized", "finetuned")
PARTS = {
    "completeness": 1.0,
    "title": 0.5,
    "description": 0.5,
    "functional_requirements": 1.5,
    "non_functional_requirements": 1.5,
    "constraints": 1.5,
}
LISTS = {"functional_requirements": "FR", "non_functional_requirements": "NFR", "constraints": "C"}
MOST = 6.5 / 7

HOSTILE = (
    "</script><script>document.title='hurt'</script><img src=x onerror=\"document.title='hurt'\">"
    "[click](javascript:alert(1)) \x1b[31mred\x1b[0m \x1b]0;title\x07 \u202egpj.exe \x00 | "
    "**bold** `x`"
)
CONCEPTS = (
    "A shared calendar for volunteer fire brigades that knows who may drive which engine",
    "Una aplicación para reservar pistas de pádel entre vecinos de una urbanización",
    "A stock ledger for small wine cellars with allergen and vintage tracking",
    "A queue manager for walk-in clinics that texts patients when it is their turn",
)


def write_run(
    folder: Path, n: int = 22, arms: tuple[str, ...] = ARMS, repeats: int = 1
) -> RunStore:
    """A store with all arms' results; example 3 is hostile, 5 fails, 7 is cut off."""
    store = RunStore.create(folder, manifest(n, arms, repeats))
    examples = [example(i) for i in range(n)]

    def prompt(e: Example) -> Prompt:
        return Prompt(
            example_id=e.id,
            inputs=e.inputs,
            messages=(
                Message(role="system", content="You are a business analyst."),
                Message(
                    role="user",
                    content=f"Write the requirements.\n\nConcept: {e.inputs['concept']}",
                ),
            ),
        )

    store.add_examples(examples, prompt)
    for place, arm in enumerate(arms):
        for repeat in range(repeats):
            results = [result(e, i, place, repeat) for i, e in enumerate(examples)]
            store.add_generations(arm, repeat, [r.generation for r in results if r.generation])
            store.add_results(arm, results)
        store.add_sitting(arm, Sittings(wall_s=41.5))
    return store


def example(i: int) -> Example:
    concept = HOSTILE if i == 3 else f"{CONCEPTS[i % 4]} ({i})"
    tags = {
        "tier": ("simple", "medium", "complex")[i % 3],
        "language": "es" if i % 4 == 1 else "en",
    }
    return Example(
        id="</script> #3?" if i == 3 else f"ba-{i:03d}", inputs={"concept": concept}, tags=tags
    )


def result(e: Example, i: int, place: int, repeat: int = 0) -> Scored:
    """Weaker arms lose more lists; the fine-tuned one only fails on example 5."""
    if i == 5 and place == 2:
        failure = Failure(
            example_id=e.id, stage="generate", reason=f"No answer. {HOSTILE}", attempts=4
        )
        return Scored(example_id=e.id, repeat=repeat, failure=failure)
    broken = (i * 7 + place * 3 + repeat) % 10 < (4, 2, 1)[place % 3]
    fields = document(e, i, broken)
    if place == 2:
        fields["description"] = f"{fields['description']}Made for small teams."
    text = "Here it is:\n" + json.dumps(fields, indent=1, ensure_ascii=False)
    cut = i == 7 and place == 0
    generation = Generation(
        example_id=e.id,
        text=text[: len(text) // 2] if cut else text,
        finish_reason="length" if cut else "stop",
        completion_tokens=412 + i,
        latency_s=1.5 + place,
    )
    points = {name: 0.0 if cut else most for name, most in PARTS.items()}
    if broken and not cut:
        points |= {"functional_requirements": 0.0, "constraints": 1.0}
    return Scored(
        example_id=e.id,
        repeat=repeat,
        generation=generation,
        prediction=Prediction(
            fields={} if cut else fields,
            validity="none" if cut else "extracted" if (i + place) % 3 == 0 else "as_is",
        ),
        score=Score(value=sum(points.values()) / 7, components=points),
        other_score=sum(points.values()) / 7 - (0.1 if i % 3 == 0 else 0),
    )


def document(e: Example, i: int, broken: bool) -> dict[str, object]:
    text = str(e.inputs["concept"])
    lists: dict[str, object] = {
        name: [
            {
                "id": f"{prefix}00{k + 1}",
                "description": f"The system shall keep {text[:60]} in view at step {k + 1}.",
                "priority": ("High", "Medium", "Low")[k % 3],
            }
            for k in range(2 + (i + len(prefix)) % 3)
        ]
        for name, prefix in LISTS.items()
    }
    if broken:
        lists["functional_requirements"] = (
            "- id: FR001\n  description: an inner: colon\n  broken: ["
        )
    elif i % 5 == 0:
        lists["constraints"] = (
            "- id: C001\n  description: As YAML text\n  priority: High\n"
            "- id: C002\n  description: Second\n  priority: Low\n"
        )
    return {
        "title": f"Requirements {i}: {text[:40]}",
        "description": f"A product. {text} " * 3,
        **lists,
    }


def manifest(n: int, arms: tuple[str, ...], repeats: int = 1) -> Manifest:
    return Manifest(
        run_id="20260729T101500Z-pocket-ab12",
        date="2026-07-29T10:15:00+00:00",
        benchmark="pocket",
        benchmark_version=1,
        role="ba",
        dataset="artifacts/synthetic/ba_val.jsonl",
        dataset_sha256="ab" * 32,
        num_examples=n,
        metric="ba_requirements",
        metric_version=1,
        attainable_max=MOST,
        component_max=PARTS,
        extraction="lenient",
        repeats=repeats,
        decoding=Decoding(),
        limits=Limits(),
        policy=Policy(),
        incumbent="baseline",
        arms=tuple(ArmManifest(name=arm, spec=spec(arm), fingerprint=arm * 4) for arm in arms),
    )


def spec(arm: str) -> str:
    return {
        "baseline": "ollama:mistral:7b-instruct",
        "optimized": "dspy:artifacts/dspy/optimizer/ba?lm=ollama:mistral:7b-instruct",
        "finetuned": "lora:artifacts/finetuning/ba",
    }.get(arm, f"replay:{arm}.jsonl")


def report_of(
    store: RunStore, notes: tuple[str, ...] = ("finetuned: 1 example failed.",)
) -> Report:
    """The report over a store's results, put together by hand."""
    asked = store.manifest()
    arms = tuple(arm_report(store, arm.name, asked) for arm in asked.arms)
    scores = {arm.name: arm.scores for arm in arms}
    names = [arm.name for arm in arms]
    tests = tuple(compare(b, a, scores) for i, a in enumerate(names) for b in names[i + 1 :])
    return Report(
        run_id=asked.run_id,
        date=asked.date,
        benchmark=asked.benchmark,
        role=asked.role,
        dataset=asked.dataset,
        dataset_sha256=asked.dataset_sha256,
        num_examples=asked.num_examples,
        metric=asked.metric,
        metric_version=asked.metric_version,
        attainable_max=asked.attainable_max,
        component_max=asked.component_max,
        extraction=asked.extraction,
        decoding=asked.decoding,
        repeats=asked.repeats,
        arms=arms,
        tests=tests,
        notes=notes,
    )


def arm_report(store: RunStore, name: str, asked: Manifest) -> ArmReport:
    rows = list(store.score_rows(name))
    scores: dict[str, float] = {row.example_id: row.value for row in rows if row.value is not None}
    failed = {row.example_id: row.failure for row in rows if row.failure is not None}
    n = len(scores)
    seen = [row.validity for row in rows if row.validity]
    share = {
        key: seen.count(key) / len(seen) if seen else 0.0 for key in ("as_is", "extracted", "none")
    }
    others = [row.other_score for row in rows if row.other_score is not None]
    return ArmReport(
        name=name,
        spec=spec(name),
        fingerprint=name * 4,
        config={"provider": "test", "digest": "0" * 12, "options": {"num_ctx": 8192}},
        expected=asked.num_examples * asked.repeats,
        scores=scores,
        failed=failed,
        summary=summarise(list(scores.values()), len(failed)),
        components={
            part: sum(row.components.get(part, 0.0) for row in rows if row.value is not None) / n
            if n
            else 0.0
            for part in PARTS
        },
        validity=ValidityShares(**share, mean_other=sum(others) / len(others) if others else None),
        usage=Usage(
            prompt_tokens=4000,
            completion_tokens=9000,
            latency_p50_s=1.5,
            latency_p95_s=2.25,
            tokens_per_s=217.4 if n else None,
            wall_s=41.5,
            truncated=sum(row.finish_reason == "length" for row in rows),
            first_token_p50_s=0.125,
            first_token_p95_s=0.25,
            retried=3,
            peak_memory_bytes=3 << 29 if name == "finetuned" else None,
        ),
        audit=Audit(
            attainable_max=MOST,
            nulls=(
                NullArm(name="constant", what="one template for every example", mean=MOST, n=22),
                NullArm(name="shuffled", what="own answers, dealt on", mean=0.8812, n=22),
            ),
            findings=(
                AuditFinding(
                    name="relevance",
                    passed=True,
                    observed=0.001,
                    required="p < 0.05 that answers fit their own example better than another's",
                    why="Mean similarity to the own example is 0.412, with shuffled answers 0.043.",
                ),
                AuditFinding(
                    name="near_copies",
                    passed=name != "baseline",
                    observed=0.045 if name != "baseline" else 0.64,
                    required="share <= 0.5",
                    why="Answers nearly repeat one another.",
                    examples=("ba-001", "</script> #3?"),
                    evidence=(
                        Evidence(
                            example="</script> #3?",
                            text=f"An answer. {HOSTILE}",
                            other="ba-001",
                            other_text=HOSTILE,
                        ),
                    ),
                ),
            ),
        )
        if n
        else None,
    )


def decision_of(report: Report, verdict: str = "keep") -> Decision:
    """A decision by hand, with one rule of every kind."""
    best = report.arms[-1]
    mean, promote = best.summary.mean, verdict == "promote"
    alone = len(report.arms) == 1
    return Decision(
        verdict="promote" if promote else "keep",
        conclusive=promote,
        strength="clear" if promote else "cannot decide",
        candidate=None if alone else best.name,
        incumbent=report.arms[0].name,
        rules=()
        if alone
        else (
            RuleResult(
                name="threshold",
                passed=True,
                observed=mean,
                required="mean >= 0.8535",
                why="The mean reaches the threshold.",
            ),
            RuleResult(
                name="complete",
                passed=promote,
                observed=1 / 22,
                required="share without a score <= 0",
                why=f"{best.name} lacks 1 of 22.",
            ),
            RuleResult(
                name="audit",
                passed=True,
                observed=None,
                required="answers depend on their example and are no copies",
                why="Answers fit their own examples.",
            ),
        ),
        next_steps=("Mend what failed and go on: baft compare --resume with this run's folder.",),
        run=report.run_id,
        considered={
            arm.name: (
                RuleResult(
                    name="threshold",
                    passed=False,
                    observed=arm.summary.mean,
                    required="mean >= 0.8535",
                    why="The mean misses the threshold.",
                ),
            )
            for arm in report.arms[1:-1]
        },
    )
