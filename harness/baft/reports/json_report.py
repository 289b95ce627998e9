"""``report.json``: every figure and every prediction, written piece by piece at full precision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..records import Report
from ..store.codec import encode, from_data, read_json, to_data, to_json
from .auditing import lucky_pass
from .wording import ALPHA, baseline, gain, ordered_tests, p_of, ranking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..records import ArmReport, Decision, Example, PairedTest, Scored, Summary
    from ..store import RunStore


def json_report(store: RunStore, report: Report, decision: Decision | None) -> Iterator[str]:
    """The file's text in pieces; one prediction is in memory at a time.

    ``comparison.winner`` is the arm that the decision puts or leaves in service; without a
    decision it is the arm with the highest mean. ``record`` holds what ``read_report`` needs.
    """
    yield '{\n"metadata": ' + _dump(_metadata(store, report)) + ',\n"models": {'
    for number, arm in enumerate(report.arms, start=1):
        yield ("," if number > 1 else "") + "\n" + _dump(arm.name) + ": "
        yield from _model(store, f"M{number}", arm)
    yield "\n},\n"
    rest = {
        "comparison": _comparison(report, decision),
        "looks": _looks(report, decision),
        "decision": to_data(decision) if decision is not None else None,
        "notes": report.notes,
        "record": to_data(report),
    }
    before = ""
    for key, value in rest.items():
        yield f'{before}"{key}": '
        yield _dump(value)
        before = ",\n"
    yield "\n}\n"


def read_report(path: Path) -> Report:
    """The report that ``json_report`` wrote, exactly.

    Raises:
        DataError: the file is missing, broken or from another version of baft.
    """
    data = read_json(path, "report")
    if not isinstance(data, dict) or "record" not in data:
        raise DataError(f"{path} holds no report of baft.", "Expected is a run's report.json.")
    return from_data(Report, data["record"], str(path))


def _metadata(store: RunStore, report: Report) -> dict[str, Any]:
    manifest = store.manifest()
    return {
        "date": report.date,
        "dataset": report.dataset,
        "dataset_sha256": report.dataset_sha256,
        "num_examples": report.num_examples,
        "metric": report.metric,
        "metric_version": report.metric_version,
        "attainable_max": report.attainable_max,
        "floor": report.floor,
        "ceilings": report.ceilings,
        "component_max": report.component_max,
        "seed": report.decoding.seed,
        "decoding": to_data(report.decoding),
        "extraction": report.extraction,
        "repeats": report.repeats,
        "role": report.role,
        "benchmark": report.benchmark,
        "benchmark_version": manifest.benchmark_version,
        "limit": manifest.limit,
        "policy": to_data(manifest.policy),
        "run_id": report.run_id,
        "versions": manifest.versions,
        "platform": manifest.platform,
        "git_commit": manifest.git_commit,
    }


def _model(store: RunStore, id_: str, arm: ArmReport) -> Iterator[str]:
    head = {
        "id": id_,
        "name": arm.name,
        "spec": arm.spec,
        "fingerprint": arm.fingerprint,
        "config": arm.config,
        "scores": _scores(arm.summary),
        "component_scores": arm.components,
        "validity": to_data(arm.validity),
        "usage": to_data(arm.usage),
        "audit": to_data(arm.audit) if arm.audit is not None else None,
        "selected_on": arm.selected_on,
        "failures": arm.failed,
    }
    yield _dump(head)[:-1] + ', "predictions": ['
    for position, line in enumerate(_predictions(store, arm.name)):
        yield (",\n" if position else "\n") + line
    yield "]}"


def _scores(summary: Summary) -> dict[str, Any]:
    """An arm's aggregates under the keys of older three-way reports."""
    return {
        "mean": summary.mean,
        "median": summary.median,
        "std": summary.std,
        "min": summary.min,
        "max": summary.max,
        "pass_rate_0.8": summary.pass_rate_08,
        "pass_rate_0.9": summary.pass_rate_09,
        "perfect_rate_1.0": summary.perfect_rate,
        "n": summary.n,
        "failures": summary.failures,
        "ci95": to_data(summary.ci95) if summary.ci95 is not None else None,
        "t95": to_data(summary.t95) if summary.t95 is not None else None,
        "variance_between": summary.variance_between,
        "variance_within": summary.variance_within,
    }


def _predictions(store: RunStore, arm: str) -> Iterator[str]:
    """One line for each result; examples and results come in the same order."""
    examples = iter(store.examples())
    example: Example | None = None
    for scored in store.results(arm):
        while example is None or example.id != scored.example_id:
            example = next(examples)
        # Nothing else than the store's own numbers, which are finite.
        yield _escaped(encode(_prediction(example, scored), is_finite=True))


def _prediction(example: Example, scored: Scored) -> dict[str, Any]:
    generation, prediction = scored.generation, scored.prediction
    inputs: Mapping[str, Any] = example.inputs
    asked = {"concept": inputs["concept"]} if set(inputs) == {"concept"} else {"inputs": inputs}
    return {
        "id": scored.example_id,
        "repeat": scored.repeat,
        **asked,
        "prediction": prediction.fields if prediction else None,
        "score": scored.score.value if scored.score else None,
        "components": scored.score.components if scored.score else None,
        "other_score": scored.other_score,
        "validity": prediction.validity if prediction else None,
        "finish_reason": generation.finish_reason if generation else None,
        "failure": to_data(scored.failure) if scored.failure else None,
        "text": generation.text if generation else None,
    }


def _comparison(report: Report, decision: Decision | None) -> dict[str, Any]:
    ids = {arm.name: f"M{number}" for number, arm in enumerate(report.arms, start=1)}
    order, reference = ranking(report), baseline(report)
    tests = {f"{test.a}_vs_{test.b}": test for test in ordered_tests(report)}
    return {
        "winner": _winner(order, decision),
        "baseline": reference,
        "ranking": [
            {
                "model": ids[arm.name],
                "name": arm.name,
                "score": arm.summary.mean,
                "delta_vs_baseline": gain(report, arm.name, reference),
            }
            for arm in order
        ],
        "statistical_tests": {key: _test(test) for key, test in tests.items()},
        "effect_sizes": {key: test.effect_size for key, test in tests.items()},
    }


def _looks(report: Report, decision: Decision | None) -> dict[str, Any] | None:
    if report.looks is None:
        return None
    once, any_ = lucky_pass(report, decision) or (None, None)
    return {
        **to_data(report.looks),
        "passes_once_at_the_bar": once,
        "passes_at_least_once": any_,
        "assumption": "every candidate truly at the bar, looks independent",
    }


def _winner(order: list[ArmReport], decision: Decision | None) -> str | None:
    if decision is not None:
        return decision.candidate if decision.verdict == "promote" else decision.incumbent
    return next((arm.name for arm in order if arm.summary.mean is not None), None)


def _test(test: PairedTest) -> dict[str, Any]:
    p = p_of(test)
    return {**to_data(test), "p_value": p, "significant": p is not None and p < ALPHA}


def _dump(value: Any) -> str:
    """JSON on one line."""
    return _escaped(to_json(value, indent=None))


def _escaped(text: str) -> str:
    """JSON with lone surrogates, which UTF-8 has no word for, as escapes."""
    return text if text.isascii() or _is_utf8(text) else json.dumps(json.loads(text))


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
