"""Plugins that misbehave in a comparison: named, contained, and never a better score."""

from __future__ import annotations

import re
import signal

import pytest

from baft import DataError, UsageError
from baft.executors import watching

BACKEND = """
import asyncio, sys, time
import baft

class Own:
    spec, batch_size, max_concurrency = "own:x", 1, None
    def fingerprint(self): return {fingerprint}
    def describe(self): return {facts}
    async def generate(self, prompts, decoding):
        {generate}
    async def close(self): {close}

@baft.hookimpl
def baft_register_backends(register): register("own", lambda target, context: Own())
"""

RULE = """
import baft
def rule(report, policy, candidate, incumbent): {does}
@baft.hookimpl
def baft_register_gate_rules(register): register("own", {factory})
"""

ROLE = """
import baft
from baft_ba.metric import RequirementsMetric
from baft_ba.role import BusinessAnalyst

class Role(BusinessAnalyst):
    {role}

class Metric(RequirementsMetric):
    {metric}

@baft.hookimpl
def baft_register_roles(register): register("own", Role)
@baft.hookimpl
def baft_register_metrics(register): register("own_metric", Metric)
"""


def backend(generate="return []", *, fingerprint="'own'", facts="{}", close="pass"):
    return BACKEND.format(generate=generate, fingerprint=fingerprint, facts=facts, close=close)


@pytest.mark.parametrize(
    ("generate", "said"),
    [
        ("return 'text'", "answered ['str']"),
        ("return None", "answered ['NoneType']"),
        ("return ['text']", "answered ['str']"),
        ("return [baft.Generation(example_id='other', text='x')]", "answered ['other']"),
        ("return [baft.Generation(example_id=prompts[0].example_id, text=None)]", "text is None"),
        (
            "return [baft.Generation(example_id=prompts[0].example_id, text='', latency_s='1')]",
            "latency_s is '1'",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("sys.exit(0)", "SystemExit: 0"),
    ],
)
def test_a_backend_that_fails_gets_failures_and_the_others_their_scores(
    install, compare, generate, said
):
    install("bad", backend(generate))
    outcome, _ = compare(bad="own:x", timeout_s=0.05)
    bad = outcome.report.arm("bad")
    assert (bad.scores, len(bad.failed)) == ({}, 6)
    assert all(said in reason for reason in bad.failed.values())
    assert outcome.report.arm("new").summary.n == 6
    assert any(problem.startswith("bad has no scored example") for problem in outcome.problems)


def test_a_backend_that_never_answers_stops_its_arm_and_no_other(install, compare):
    install("bad", backend("await asyncio.sleep(1000)"))
    outcome, _ = compare(bad="own:x", timeout_s=0.05)
    assert outcome.report.arm("bad").scores == {}
    assert outcome.report.arm("new").summary.n == 6
    said = "bad stopped answering: 6 requests in a row failed: No answer within 0.05 s."
    assert any(problem.startswith(said) for problem in outcome.problems)


def test_a_backend_that_blocks_everything_is_broken_off_and_told_where(
    install, compare, monkeypatch
):
    monkeypatch.setattr(watching, "PATIENCE_S", 0.2)
    monkeypatch.setattr(watching, "BEAT_S", 0.05)
    install("bad", backend("time.sleep(1000)"))
    before = signal.getsignal(signal.SIGUSR1)
    outcome, _ = compare(bad="own:x", timeout_s=0.1)
    assert outcome.report.arm("new").summary.n == 6
    assert outcome.report.arm("bad").scores == {}
    said = next(problem for problem in outcome.problems if "stopped answering" in problem)
    assert "own:x blocked everything else for 0.3 s, at " in said
    assert re.search(r"bad_module.py:\d+", said)
    assert "asyncio.to_thread" in said
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"fingerprint": "1 / 0"}, "fingerprint() of its backend failed: ZeroDivisionError"),
        ({"fingerprint": "None"}, "fingerprint() of its backend gave None and no text"),
        ({"fingerprint": "sys.exit(0)"}, "fingerprint() of its backend failed: SystemExit"),
        ({"facts": "None"}, "describe() of its backend failed: TypeError"),
        ({"facts": "{'a': object()}"}, "describe() of its backend failed: TypeError"),
    ],
)
def test_a_backend_that_cannot_say_what_it_is_stops_the_comparison(install, compare, members, said):
    install("bad", backend(**members))
    with pytest.raises(UsageError) as caught:
        compare(bad="own:x")
    assert f"bad (own:x) is not available: {said}" in caught.value.message
    assert "Report it to the author of 'own'" in caught.value.message


def test_a_backend_that_does_not_close_is_reported_and_changes_nothing(install, compare):
    answer = "return [baft.Generation(example_id=p.example_id, text='title: x') for p in prompts]"
    install("bad", backend(answer, close="1 / 0"))
    outcome, said = compare(bad="own:x")
    assert outcome.report.arm("bad").summary.n == 6
    assert any("own:x did not close cleanly: ZeroDivisionError" in text for text in said)


@pytest.mark.parametrize(
    ("does", "factory", "said"),
    [
        ("1 / 0", "lambda: rule", "ZeroDivisionError"),
        ("return True", "lambda: rule", "it gave True and no RuleResult"),
        ("return None", "lambda: rule", "it gave None and no RuleResult"),
        ("raise SystemExit(0)", "lambda: rule", "SystemExit: 0"),
        ("return None", "lambda: None", "made the gate rule 'own' of type NoneType"),
    ],
)
def test_a_rule_that_fails_keeps_the_incumbent(install, compare, does, factory, said):
    install("bad", RULE.format(does=does, factory=factory))
    outcome, _ = compare()
    assert outcome.decision.verdict == "keep"
    failed = {rule.name: rule.why for rule in outcome.decision.rules if not rule.passed}
    assert list(failed) == ["own"]
    assert said in failed["own"]


@pytest.mark.parametrize("does", ["return 3", "return None", "raise SystemExit(0)", "yield 3"])
def test_a_reporter_that_fails_is_reported_and_changes_nothing(install, compare, does):
    install(
        "bad",
        f"import baft\ndef report(report, decision, run): {does}\n"
        "@baft.hookimpl\n"
        "def baft_register_reporters(register): register('own', lambda env: report)\n",
    )
    outcome, said = compare()
    assert outcome.decision.verdict == "promote"
    assert [text.partition(":")[0] for text in said] == ["Reporter 'own' failed"]


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("def score(self, example, prediction): return 1.0", "gave 1.0 and no Score"),
        ("def score(self, example, prediction): raise SystemExit", "SystemExit"),
        ("def score(self, example, prediction): return baft.Score(value=float('nan'))", "nan"),
    ],
)
def test_a_metric_that_fails_gives_failures_and_no_scores(install, compare, member, said):
    install("bad", ROLE.format(role="name = 'own'", metric=member))
    outcome, _ = compare(role="own", metric="own_metric")
    assert outcome.decision.verdict == "keep"
    for arm in outcome.report.arms:
        assert (arm.scores, len(arm.failed)) == ({}, 6)
        assert all(said in reason for reason in arm.failed.values())


def test_a_parser_that_gives_something_else_gives_failures(install, compare):
    install("bad", ROLE.format(role="def parse(self, g, e): return {}", metric="pass"))
    outcome, _ = compare(role="own", metric="own_metric")
    assert {len(arm.failed) for arm in outcome.report.arms} == {6}


def test_a_reader_that_fails_names_the_line_and_the_role(install, compare):
    source = ROLE.format(role="name = 'own'\n    def example(self, row): row['x']", metric="pass")
    install("bad", source)
    with pytest.raises(DataError, match=r"line 1: the role 'own' failed to read it: KeyError"):
        compare(role="own", metric="own_metric")
