"""Two runs set against each other: what was fixed, what broke, what else is not the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from .. import stats
from ..errors import UsageError, did_you_mean
from ..records import PairedTest  # at run time, for JSON
from . import numbers as show
from .text import cut, one_line
from .wording import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..records import Manifest
    from ..store import RunReader

FIRST, SECOND = "the first run", "the second run"

MOST = 20
"""So many examples of a kind are listed; JSON holds them all."""

SAME = ("role", "dataset_sha256", "metric", "metric_version")
"""Where these differ, scores of the same example do not mean the same."""

COMPARED = (*SAME, "benchmark", "benchmark_version", "num_examples", "extraction", "repeats")
"""Fields of a manifest that are worth a line where they differ; decoding and arms come apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One example whose score is not the same in both runs."""

    id: str
    before: float | None
    """Mean over repeats in the first run; None where it has no score."""
    after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmDiff:
    """One arm of the first run against one of the second, example by example."""

    first: str
    second: str
    fixed: tuple[Change, ...]
    """Scored higher in the second run, or only there; the largest gain first."""
    broken: tuple[Change, ...]
    """Scored lower in the second run, or no more; the largest loss first."""
    unchanged: tuple[Change, ...]
    """The same score, or none in both."""
    test: PairedTest
    """Second run minus first run; p-values Holm-corrected over all pairs of arms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something other than a score that is not the same in both runs."""

    what: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """Two runs set against each other."""

    first: str
    """Id of the run that is taken as the state before."""
    second: str
    differences: tuple[Difference, ...]
    arms: tuple[ArmDiff, ...]
    only_first: tuple[str, ...]
    """Arms of the first run without a counterpart."""
    only_second: tuple[str, ...]


def diff_runs(
    first: RunReader,
    second: RunReader,
    pairs: Mapping[str, str] | None = None,
    *,
    force: bool = False,
) -> RunDiff:
    """Compare two runs by the examples that both have.

    Args:
        first: the state before.
        second: the state after.
        pairs: arm of the second run by arm of the first; default: arms of the same name.
        force: compare though dataset, metric or role differ.

    Raises:
        UsageError: the runs cannot be compared, or an arm is unknown.
    """
    before, after = first.manifest(), second.manifest()
    told = tuple(_differences(before, after))
    if unlike := [one.what for one in told if one.what in SAME]:
        if not force:
            raise UsageError(
                f"The runs do not have the same {', '.join(unlike)}, so their scores do not mean "
                "the same.",
                "Add --force to compare the examples that both have nevertheless.",
            )
    chosen = _pairs(before, after, pairs)
    arms = [
        _arm(
            a,
            b,
            first.example_scores(a, before.repeats),
            second.example_scores(b, after.repeats),
        )
        for a, b in chosen.items()
    ]
    corrected = stats.holm([arm.test.sign_flip_p for arm in arms])
    return RunDiff(
        first=before.run_id,
        second=after.run_id,
        differences=(*told, *_fingerprints(before, after, chosen)),
        arms=tuple(
            replace(arm, test=replace(arm.test, holm_p=p))
            for arm, p in zip(arms, corrected, strict=True)
        ),
        only_first=tuple(arm.name for arm in before.arms if arm.name not in chosen),
        only_second=tuple(arm.name for arm in after.arms if arm.name not in chosen.values()),
    )


def _arm(
    a: str, b: str, before: Mapping[str, float | None], after: Mapping[str, float | None]
) -> ArmDiff:
    common = [id_ for id_ in before if id_ in after]
    changes = [Change(id=id_, before=before[id_], after=after[id_]) for id_ in common]
    scores = {
        FIRST: {id_: score for id_, score in before.items() if score is not None},
        SECOND: {id_: score for id_, score in after.items() if score is not None},
    }
    gains = [(_gain(change), change) for change in changes]
    rising = sorted((pair for pair in gains if pair[0] > 0), key=lambda pair: -pair[0])
    falling = sorted((pair for pair in gains if pair[0] < 0), key=lambda pair: pair[0])
    return ArmDiff(
        first=a,
        second=b,
        fixed=tuple(change for _, change in rising),
        broken=tuple(change for _, change in falling),
        unchanged=tuple(change for gain, change in gains if gain == 0),
        test=stats.compare(SECOND, FIRST, scores),
    )


def _gain(change: Change) -> float:
    """After minus before; without end where only one of them has a score."""
    if change.before is None and change.after is None:
        return 0.0
    if change.before is None or change.after is None:
        return math.inf if change.before is None else -math.inf
    gain = change.after - change.before
    return gain if abs(gain) >= 1e-12 else 0.0  # rounding is not a difference


def _pairs(before: Manifest, after: Manifest, pairs: Mapping[str, str] | None) -> Mapping[str, str]:
    ours, theirs = [arm.name for arm in before.arms], [arm.name for arm in after.arms]
    for known, run, names in ((ours, before, pairs or {}), (theirs, after, (pairs or {}).values())):
        for name in names:
            if name not in known:
                raise UsageError(f"{run.run_id} has no arm {name!r}.", did_you_mean(name, known))
    chosen = pairs or {name: name for name in ours if name in theirs}
    if not chosen:
        raise UsageError(
            f"No arm has the same name in both runs: {', '.join(ours)}; {', '.join(theirs)}.",
            "Name a pair with --arm A=B.",
        )
    return chosen


def _differences(before: Manifest, after: Manifest) -> Iterator[Difference]:
    for name in COMPARED:
        yield from _different(name, getattr(before, name), getattr(after, name))
    for part in ("decoding", "policy"):
        ours, theirs = getattr(before, part), getattr(after, part)
        for one in fields(ours):
            name = f"{part}.{one.name}"
            yield from _different(name, getattr(ours, one.name), getattr(theirs, one.name))
    for name in sorted({*before.versions, *after.versions}):
        ours, theirs = before.versions.get(name, "–"), after.versions.get(name, "–")
        yield from _different(f"version of {name}", ours, theirs)
    for name in ("platform", "git_commit"):
        yield from _different(name, getattr(before, name), getattr(after, name))


def _fingerprints(
    before: Manifest, after: Manifest, pairs: Mapping[str, str]
) -> Iterator[Difference]:
    ours = {arm.name: arm for arm in before.arms}
    theirs = {arm.name: arm for arm in after.arms}
    for a, b in pairs.items():
        name = a if a == b else f"{a} / {b}"
        yield from _different(f"spec of {name}", ours[a].spec, theirs[b].spec)
        yield from _different(f"fingerprint of {name}", ours[a].fingerprint, theirs[b].fingerprint)


def _different(what: str, first: object, second: object) -> Sequence[Difference]:
    if first == second:
        return ()
    return (Difference(what=what, first=str(first), second=str(second)),)


def diff_text(diff: RunDiff) -> Iterator[str]:
    """The comparison line by line, for a terminal or a log."""
    yield f"first   {one_line(diff.first)}"
    yield f"second  {one_line(diff.second)}"
    if diff.differences:
        yield "\nNot the same in both runs"
        for one in diff.differences:
            yield f"  {_short(one.what)}: {_short(one.first)} → {_short(one.second)}"
    for arm in diff.arms:
        yield ""
        yield from _arm_text(arm)
    for run, names in (("first", diff.only_first), ("second", diff.only_second)):
        if names:
            yield f"\nOnly in the {run} run: {', '.join(one_line(name) for name in names)}"


def _arm_text(arm: ArmDiff) -> Iterator[str]:
    name = arm.first if arm.first == arm.second else f"{arm.first} → {arm.second}"
    yield (
        f"{one_line(name)}: {show.count(len(arm.fixed))} fixed, {show.count(len(arm.broken))} "
        f"broken, {show.count(len(arm.unchanged))} unchanged"
    )
    yield f"  {sentence(arm.test)}"
    for mark, changes in (("+", arm.fixed), ("-", arm.broken)):
        for change in changes[:MOST]:
            scores = f"{show.score(change.before):>6} → {show.score(change.after):>6}"
            yield f"  {mark} {scores}  {_short(change.id)}"
        if len(changes) > MOST:
            yield f"  {mark} and {show.count(len(changes) - MOST)} more; --json lists them all"


def sentence(test: PairedTest) -> str:
    """The paired test in words, as a sentence of its own."""
    words = in_words(test)
    return words[0].upper() + words[1:]


def _short(text: str) -> str:
    return cut(one_line(text), 120)[0]
