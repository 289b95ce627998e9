"""The promises of a gate rule, and of a reporter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records import Policy, RuleResult, digest
from .promises import at_once, must, must_be_json, silence
from .samples import INCUMBENT, sample_decision, sample_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..protocols import GateRule, Reporter
    from ..records import Report

HOSTILE = "../x <script>alert(1)</script> | a\nb \u202e"
"""A name that a careless reporter lets out of its file, or out of its folder."""

MANY = 1_000
"""Examples of a large report."""


def check_rule(rule: GateRule, policy: Policy | None = None) -> None:
    """Check a gate rule on reports with scores, without, with gaps, and with very many: pure.

    Args:
        rule: what the plugin's factory returns.
        policy: the policy it is asked with; the default one if None.

    Raises:
        AssertionError: the first promise that is broken.
    """
    names = set()
    with silence("a rule"):
        for report, candidate, incumbent in _questions():
            names.add(_check_judging(rule, report, policy or Policy(), candidate, incumbent))
    must(len(names) == 1, f"a rule has one name, not {sorted(names)}")


def _questions() -> Iterator[tuple[Report, str, str]]:
    """A report, the candidate and the incumbent: what a gate may ever ask a rule."""
    for n in (3, 0, 1, MANY):
        yield sample_report(n), "finetuned", INCUMBENT
    failed = sample_report(3, failed=("finetuned",))
    yield failed, "finetuned", INCUMBENT
    yield failed, INCUMBENT, "finetuned"
    yield sample_report(3), "finetuned", "not in this run"
    alone = sample_report(3)
    yield replace(alone, arms=alone.arms[1:], tests=()), "finetuned", INCUMBENT


def _check_judging(
    rule: GateRule, report: Report, policy: Policy, candidate: str, incumbent: str
) -> str:
    where = f"with {report.num_examples} examples"
    before = digest(asdict(report))
    try:
        result = rule(report, policy, candidate, incumbent)
    except Exception as error:
        raise AssertionError(f"a rule must judge, not raise {error!r}, {where}") from error
    must(isinstance(result, RuleResult), f"a rule must return a RuleResult, not {result!r:.60}")
    must(isinstance(result.passed, bool), "passed must be True or False")
    for name in ("name", "required", "why"):
        value = getattr(result, name)
        must(isinstance(value, str) and bool(value.strip()), f"{name} must be a text")
    seen = result.observed
    must(
        seen is None
        or isinstance(seen, str)
        or (isinstance(seen, int | float) and math.isfinite(seen)),
        f"observed must be a finite number, a text or None, not {seen!r}",
    )
    must(
        result.strength in ("clear", "within noise", "cannot decide"),
        f"strength {result.strength!r} is none of clear, within noise, cannot decide",
    )
    must_be_json(asdict(result), "a rule's result")
    again = at_once(lambda _: rule(report, policy, candidate, incumbent), range(4))
    must(all(other == result for other in again), "a rule gives two results for one report")
    must(digest(asdict(report)) == before, "a rule must not change the report")
    return result.name


def check_reporter(
    make: Callable[[Mapping[str, str]], Reporter],
    folder: Path,
    env: Mapping[str, str] | None = None,
) -> None:
    """Check a reporter on reports with scores, without, with hostile names, and with very many.

    Args:
        make: the plugin's factory; gets the environment.
        folder: an empty folder to work in.
        env: the environment variables that the reporter reads.

    Raises:
        AssertionError: the first promise that is broken.
    """
    base = sample_report(3)
    hostile = replace(
        base,
        benchmark=HOSTILE,
        arms=(base.arms[0], replace(base.arms[1], name=HOSTILE, spec=HOSTILE)),
        notes=(HOSTILE,),
        tests=(),
    )
    many = sample_report(MANY)
    with silence("a reporter"):
        for number, report in enumerate((base, sample_report(0), hostile, many)):
            reporter = make(dict(env or {}))
            _check_reporting(reporter, replace(report, run_id=f"run-{number}"), folder)


def _check_reporting(reporter: Reporter, report: Report, folder: Path) -> None:
    decision = sample_decision(report)
    run = folder / report.run_id
    run.mkdir()
    (run / "report.json").write_text('{"kept": true}', "utf-8")
    before = digest([asdict(report), asdict(decision)])
    outside = _files(folder) - _files(run)
    first = _written(reporter, report, decision, run)
    must(digest([asdict(report), asdict(decision)]) == before, "a reporter must change nothing")
    must(
        (run / "report.json").read_text("utf-8") == '{"kept": true}',
        "a reporter must leave the run's own files as they are",
    )
    must(_files(folder) - _files(run) == outside, "a reporter must not write beside the run")
    second = _written(reporter, report, decision, run)
    must(first == second, f"told again, it wrote {second} and not {first}")


def _written(reporter: Reporter, report: Report, decision: Any, run: Path) -> list[Path]:
    try:
        paths = list(reporter(report, decision, run))
    except Exception as error:
        why = f"a reporter must report {report.num_examples} examples, not raise {error!r}"
        raise AssertionError(why) from error
    for path in paths:
        must(isinstance(path, Path), f"a reporter yields paths, not {path!r:.60}")
        must(path.is_file(), f"{path} was not written")
    return paths


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
