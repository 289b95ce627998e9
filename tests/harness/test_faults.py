"""Servers that fail in every way, asked by the engine: the scores are those of a healthy one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from baft.engine import Job, run_arm, scoring_pool
from baft.loader import load_plugins
from baft.records import Decoding, Limits
from baft.store import RunStore
from baft.summary import build_report
from baft.testing import Answer, FakeOllama, FakeOpenAI, Fault, failing_first

pytest.importorskip("aiohttp")

DIALECTS = {
    "ollama": (FakeOllama, "ollama:mistral:7b-instruct@{url}"),
    "openai": (FakeOpenAI, "openai:tiny@{url}/v1"),
}
QUICK = Limits(backoff_s=0.001, timeout_s=20, concurrency=8)
REFUSED = Answer(status=502, error="bad gateway")


def said(asked):
    """Two of three words are said well, so that scores differ."""
    number = int(asked.text.removeprefix("Say w"))
    return f"GOOD w{number}" if number % 3 else f"I would rather not say w{number}"


@pytest.fixture
def evaluate(tmp_path, role, metric, make_manifest):
    def evaluate(dialect, answers, *, n=60, limits=QUICK):
        """The report, its arm, and the server it was asked from."""
        kind, spec = DIALECTS[dialect]
        manifest = make_manifest(n=n, run_id=f"r{len(list(tmp_path.iterdir()))}")
        store = RunStore.create(tmp_path / manifest.run_id, manifest)
        examples = [role.example({"word": f"w{i}"}) for i in range(n)]
        store.add_examples(examples, role.prompt)
        job = Job(
            role=role,
            metric=metric,
            num_examples=n,
            decoding=Decoding(),
            limits=limits,
            extraction="lenient",
        )
        plugins = load_plugins()

        async def go(backend):
            try:
                with scoring_pool(job) as pool:
                    await run_arm("baseline", backend, job, store, pool)
            finally:
                await backend.close()

        with kind(answers) as server:
            asyncio.run(go(plugins.open(spec.format(url=server.url), plugins.context(env={}))))
        report = build_report(store, manifest, metric)
        return report.arm("baseline"), server, report

    return evaluate


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_nine_of_ten_first_attempts_may_fail_in_six_ways(evaluate, dialect, stream):
    limits = replace(QUICK, stream=stream)
    healthy, server, _ = evaluate(dialect, said, limits=limits)
    assert len(server.requests) == 60
    faulty, server, _ = evaluate(dialect, failing_first(said), limits=limits)
    assert len(tuple(Fault)) == 6
    assert len(server.requests) == 60 + 54
    assert (faulty.usage.retried, healthy.usage.retried) == (54, 0)
    assert faulty.failed == {}
    assert faulty.scores == healthy.scores
    assert sorted(set(faulty.scores.values())) == [0.0, 1.0]
    assert faulty.summary == healthy.summary
    assert faulty.usage.completion_tokens == healthy.usage.completion_tokens


@pytest.mark.parametrize("fault", [*Fault, REFUSED])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_fault_in_the_middle_of_a_stream_is_tried_again(evaluate, dialect, fault):
    limits = replace(QUICK, stream=True)
    answers = failing_first(said, faults=[fault], tenths=10)
    arm, server, _ = evaluate(dialect, answers, n=3, limits=limits)
    assert (arm.failed, arm.summary.n, arm.usage.retried) == ({}, 3, 3)
    assert len(server.requests) == 6


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stalled_request_is_given_up_and_tried_again(evaluate, dialect):
    def answer(asked):
        return Answer(text=said(asked), delay_s=30 if asked.attempt == 1 else 0)

    arm, server, _ = evaluate(dialect, answer, n=3, limits=replace(QUICK, timeout_s=0.3))
    assert (arm.failed, arm.usage.retried, len(server.requests)) == ({}, 3, 6)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_bad_request_fails_at_its_first_attempt(evaluate, dialect):
    answers = {"w1": Answer(status=400, error="no such option"), "w": "GOOD day"}
    arm, server, _ = evaluate(dialect, answers, n=3)
    assert set(arm.failed) == {"w1"}
    assert "no such option" in arm.failed["w1"]
    assert (len(server.requests), arm.usage.retried) == (3, 0)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_long_retry_after_is_waited_for_no_longer_than_the_timeout(evaluate, dialect):
    busy = Answer(status=429, error="slow down", retry_after="86400")
    limits = replace(QUICK, timeout_s=0.3)
    arm, server, _ = evaluate(
        dialect, failing_first(said, faults=[busy], tenths=10), n=2, limits=limits
    )
    assert (arm.failed, len(server.requests)) == ({}, 4)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_streams_tell_the_time_to_the_first_token(evaluate, dialect):
    whole, _, _ = evaluate(dialect, said, n=4)
    assert (whole.usage.first_token_p50_s, whole.usage.first_token_p95_s) == (None, None)
    streamed, server, _ = evaluate(dialect, said, n=4, limits=replace(QUICK, stream=True))
    assert all(asked.body["stream"] is True for asked in server.requests)
    usage = streamed.usage
    assert 0 < usage.first_token_p50_s <= usage.first_token_p95_s <= usage.latency_p95_s
    assert streamed.scores == whole.scores
    assert (usage.prompt_tokens, usage.completion_tokens) == (
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
    )


@pytest.mark.parametrize("stream", [False, True])
def test_what_went_wrong_with_answers_is_recorded_and_told(evaluate, stream):
    answers = {
        "w0": Answer(text=""),
        "w1": Answer(text="GOOD w1", thinking="hm"),
        "w2": Answer(text="GOOD w2", thinking="hm hm hm"),
        "w3": Answer(text="<think>hm</think> GOOD w3"),
        "w4": Answer(text="GOOD w4", prompt_tokens=8192),
        "w5": Answer(text="GOOD w5", finish_reason="length"),
        "w6": Answer(text="GOOD w6"),
    }
    arm, _, report = evaluate("ollama", answers, n=7, limits=replace(QUICK, stream=stream))
    assert set(report.notes) == {
        "baseline: 1 of 7 outputs were cut off by a token limit.",
        "baseline: noted on 1 of 7 answers: The answer is empty.",
        f"baseline: noted on 2 of 7 answers: {_first_thought(report)}",
        "baseline: noted on 1 of 7 answers: The answer holds a thinking block.",
        "baseline: noted on 1 of 7 answers: The prompt may have been cut in silence: 8192 tokens "
        "of it were read with num_ctx 8192.",
    }
    assert arm.usage.truncated == 1


def _first_thought(report):
    """Which of the two came back first is chance."""
    (found,) = (note for note in report.notes if "Thinking of" in note)
    said = found.partition("answers: ")[2]
    assert said in {
        "Thinking of 2 characters is not part of the answer.",
        "Thinking of 8 characters is not part of the answer.",
    }
    return said


def test_kinds_of_notes_are_few_in_the_report(evaluate):
    def answer(asked):
        reason = "abcdefg"[int(asked.text.removeprefix("Say w"))]
        return Answer(text="GOOD day", finish_reason=reason * 500)

    _, _, report = evaluate("ollama", answer, n=7)
    assert len(report.notes) == 6
    assert report.notes[-1] == "baseline: 2 further kinds of notes; see the examples."
    assert all(len(note) < 400 for note in report.notes)
