"""How long statistics, audit and decision of three arms take, beside a plain NumPy mean.

Run it: .venv/bin/python benchmarks/speed/gate.py [--examples 22 10000]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import scipy.sparse  # so that its import is not counted
import scipy.stats  # noqa: F401 - nor this one

from baft import ArmReport, Decoding, Policy, Prediction, Report, Usage, ValidityShares, gate, stats
from baft.audit import Answer, audit_arm
from baft.loader import load_plugins
from baft.store.lineage import Source
from baft.summary import paired_tests

ROOT = Path(__file__).parents[2]
ARMS = {"baseline": 0.4, "optimized": 0.2, "finetuned": 0.1}
"""Share of answers whose lists do not parse, by arm."""
LISTS = ("functional_requirements", "non_functional_requirements", "constraints")


def make_answers(n: int, role, metric):
    """``n`` scored answers of each arm, the source they share, and the seconds that took."""
    path = ROOT / "artifacts" / "synthetic" / "ba_train_v2_fixed.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rng = np.random.default_rng(0)
    source = Source(use="trained", name="train", examples=tuple(role.example(r) for r in rows))
    arms = {}
    for arm, broken in ARMS.items():
        arms[arm] = []
        for i, row in enumerate(islice(cycle(rows), n)):
            example = replace(
                role.example({**row, "concept": f"{row['concept']} Variant {i}."}), id=str(i)
            )
            fields = {**row["requirements"], "title": f"{row['requirements']['title']} {i}"}
            if rng.random() < broken:
                fields = {**fields, **dict.fromkeys(LISTS, "- broken: [")}
            prediction = Prediction(fields=fields, validity="as_is")
            score = metric.score(example, prediction).value
            arms[arm].append(Answer(example=example, prediction=prediction, score=score))
    return arms, source


def decide(arms, source, metric):
    """Everything between scores and a decision, as a comparison does it."""
    reports = tuple(
        ArmReport(
            name=name,
            spec=f"replay:{name}",
            fingerprint=name,
            config={},
            expected=len(answers),
            scores={answer.example.id: answer.score for answer in answers},
            failed={},
            summary=stats.summarise([answer.score for answer in answers], 0),
            components={},
            validity=ValidityShares(as_is=1.0, extracted=0, none=0, mean_other=None),
            usage=Usage(),
            audit=audit_arm(answers, metric, [source], examples=[a.example for a in answers]),
        )
        for name, answers in arms.items()
    )
    report = Report(
        run_id="speed",
        date="2026-01-01T00:00:00+00:00",
        benchmark="speed",
        role="ba",
        dataset="train",
        dataset_sha256="",
        num_examples=len(arms["baseline"]),
        metric=metric.name,
        metric_version=metric.version,
        attainable_max=metric.attainable_max,
        component_max=metric.components,
        extraction="lenient",
        decoding=Decoding(),
        repeats=1,
        arms=reports,
        tests=paired_tests(reports),
    )
    return gate.decide(report, Policy(), "baseline")


def fastest(call, times: int) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of several calls; on a busy machine they differ."""
    seconds = []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in seconds), min(cpu for _, cpu in seconds)


def main() -> None:
    """Time each size; the imports above are not counted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, nargs="+", default=[22, 10_000])
    plugins = load_plugins()
    role, metric = plugins.role("ba"), plugins.metric("ba_requirements")
    for n in parser.parse_args().examples:
        arms, source = make_answers(n, role, metric)
        wall, first = fastest(lambda: decide(arms, source, metric), 1)  # noqa: B023 - called at once
        _, again = fastest(lambda: decide(arms, source, metric), 3)  # noqa: B023
        columns = [np.array([a.score for a in answers]) for answers in arms.values()]
        _, plain = fastest(lambda: [column.mean() for column in columns], 999)  # noqa: B023
        print(f"3 x {n} examples: first {wall:.2f} s ({first:.2f} s of CPU), then {again:.2f} s of "
              f"CPU: {again / plain:,.0f} times three NumPy means")  # fmt: skip


if __name__ == "__main__":
    main()
