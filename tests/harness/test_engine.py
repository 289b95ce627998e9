"""A run: nothing lost, nothing twice, failures apart from scores."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from baft import BackendError, Generation, engine
from baft.engine import ArmGone, Job, run_arm
from baft.executors import asking
from baft.records import Decoding, Limits
from baft.store import RunStore


class Answering:
    """Answers by a function of example id and attempt; counts what it was asked."""

    spec, batch_size, max_concurrency = "fake:x", 1, None

    def __init__(self, answer=lambda id_, attempt: f"GOOD {id_}", *, batch_size=1, width=None):
        self.answer, self.batch_size, self.max_concurrency = answer, batch_size, width
        self.asked, self.calls, self.under_way, self.most = {}, [], 0, 0

    def fingerprint(self):
        return "x"

    def describe(self):
        return {}

    async def generate(self, prompts, decoding):
        self.calls.append(([p.example_id for p in prompts], decoding.seed))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        out = []
        for prompt in prompts:
            attempt = self.asked[prompt.example_id] = self.asked.get(prompt.example_id, 0) + 1
            text = self.answer(prompt.example_id, attempt)
            if isinstance(text, Exception):
                raise text
            out.append(Generation(example_id=prompt.example_id, text=text, completion_tokens=2))
        return out

    async def close(self):
        pass


@pytest.fixture
def run(tmp_path, role, metric, make_manifest):
    def run(backend, *, n=3, store=None, **changes):
        examples = [role.example({"word": f"w{i}"}) for i in range(n)]
        given = {
            "role": role,
            "metric": metric,
            "num_examples": n,
            "decoding": Decoding(),
            "limits": Limits(retries=2, backoff_s=0.001, timeout_s=5),
            "extraction": "lenient",
        }
        job = Job(**{**given, **changes})
        if store is None:
            store = RunStore.create(tmp_path / "run", make_manifest(n=n))
            store.add_examples(examples, role.prompt)

        async def go():
            with engine.scoring_pool(job) as pool:
                await run_arm("baseline", backend, job, store, pool)

        asyncio.run(go())
        return store

    return run


def values(store):
    return [row.value for row in store.score_rows("baseline")]


def test_every_example_is_asked_once_scored_and_stored(run):
    backend = Answering()
    store = run(backend, n=5)
    assert values(store) == [1.0] * 5
    assert set(backend.asked.values()) == {1}
    assert [r.generation.text for r in store.results("baseline")] == [
        f"GOOD w{i}" for i in range(5)
    ]


def test_only_so_many_answers_are_scored_together(run, monkeypatch):
    handed = []

    class Noting(ThreadPoolExecutor):
        def submit(self, score, role, metric, pairs, *rest):
            handed.append(len(pairs))
            return super().submit(score, role, metric, pairs, *rest)

    monkeypatch.setattr(engine, "GATHER_S", 0.5)  # time for all of them
    monkeypatch.setattr(engine, "scoring_pool", lambda job: Noting(max_workers=1))
    limits = Limits(retries=0, backoff_s=0.001, timeout_s=5, concurrency=8)
    store = run(Answering(), n=300, limits=limits)
    assert values(store) == [1.0] * 300
    assert sum(handed) == 300
    assert 8 < max(handed) < engine.TOGETHER + 8


def test_a_models_bad_output_is_scored_not_failed(run):
    store = run(Answering(lambda id_, _: "nonsense"))
    assert values(store) == [0.0] * 3
    assert {row.validity for row in store.score_rows("baseline")} == {"none"}


def test_both_extractions_are_scored(run):
    rows = list(run(Answering(lambda id_, _: "Sure! GOOD x")).score_rows("baseline"))
    assert {(r.value, r.other_score, r.validity) for r in rows} == {(1.0, 0.0, "extracted")}
    assert {r.validity for r in rows} == {"extracted"}


def test_strict_keeps_the_validity_of_the_output(run):
    rows = run(Answering(lambda id_, _: "Sure! GOOD x"), extraction="strict").score_rows("baseline")
    assert {(r.value, r.other_score, r.validity) for r in rows} == {(0.0, 1.0, "extracted")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("BOOM", "parse: RuntimeError: parser went up"),
        ("GOOD !", "score: KeyError: \"no score for '!'\""),
    ],
)
def test_a_crash_of_parser_or_metric_is_that_examples_failure(run, text, said):
    rows = list(
        run(Answering(lambda id_, _: text if id_ == "w1" else "GOOD a")).score_rows("baseline")
    )
    assert [r.value for r in rows] == [1.0, None, 1.0]
    assert rows[1].failure == said


def test_a_passing_fault_is_tried_again(run):
    backend = Answering(
        lambda id_, attempt: BackendError("busy", retryable=True) if attempt < 3 else "GOOD a"
    )
    assert values(run(backend)) == [1.0] * 3
    assert set(backend.asked.values()) == {3}


def test_a_lasting_fault_is_a_failure_with_its_attempts(run):
    backend = Answering(lambda id_, _: BackendError("busy", retryable=True))
    results = list(run(backend).results("baseline"))
    assert {(r.failure.reason, r.failure.attempts) for r in results} == {("busy", 3)}


def test_what_cannot_be_cured_is_not_tried_again(run):
    backend = Answering(lambda id_, _: BackendError("bad request"))
    run(backend)
    assert set(backend.asked.values()) == {1}


def test_retry_after_is_obeyed(run):
    backend = Answering(
        lambda id_, attempt: (
            BackendError("busy", retryable=True, retry_after_s=0.0) if attempt == 1 else "GOOD a"
        )
    )
    slow = Limits(retries=1, backoff_s=60)
    assert values(run(backend, limits=slow)) == [1.0] * 3


def test_an_unexpected_exception_is_one_examples_failure(run):
    backend = Answering(lambda id_, _: ZeroDivisionError("oh") if id_ == "w0" else "GOOD a")
    assert values(run(backend)) == [None, 1.0, 1.0]


def test_a_request_that_takes_too_long_fails(run):
    class Slow(Answering):
        async def generate(self, prompts, decoding):
            await asyncio.sleep(30)

    store = run(Slow(), n=1, limits=Limits(retries=0, timeout_s=0.01))
    assert next(store.results("baseline")).failure.reason == "No answer within 0.01 s."


def test_a_backend_that_is_gone_leaves_the_rest_to_resume(run):
    backend = Answering(
        lambda id_, _: BackendError("down", gone=True) if id_ == "w2" else "GOOD a", width=1
    )
    with pytest.raises(ExceptionGroup) as caught:
        run(backend, n=5)
    assert caught.group_contains(ArmGone)


def test_a_batch_that_fails_is_asked_again_one_by_one(run):
    backend = Answering(
        lambda id_, _: BackendError("too long") if id_ == "w1" else "GOOD a", batch_size=4, width=1
    )
    store = run(backend, n=4)
    assert sorted(map(str, values(store))) == ["1.0", "1.0", "1.0", "None"]


def test_answers_that_do_not_match_the_prompts_are_failures(run):
    class Confused(Answering):
        async def generate(self, prompts, decoding):
            return [Generation(example_id="other", text="GOOD a") for _ in prompts]

    reasons = {r.failure.reason for r in run(Confused()).results("baseline")}
    assert len(reasons) == 3
    assert all("was asked for" in reason for reason in reasons)


def test_a_wrong_type_from_a_backend_is_named(run):
    class Wrong(Answering):
        async def generate(self, prompts, decoding):
            return "text"

    assert "answered ['str']" in next(run(Wrong()).results("baseline")).failure.reason


def test_concurrency_is_bounded(run):
    backend = Answering()
    run(backend, n=30, limits=Limits(concurrency=4))
    assert backend.most == 4
    backend = Answering(width=1)
    assert backend.max_concurrency == 1


def test_repeats_draw_with_their_own_seeds(run):
    backend = Answering()
    store = run(backend, n=2, repeats=3)
    assert {seed for _, seed in backend.calls} == {42, 43, 44}
    assert len(values(store)) == 6
    assert all(result.generation for result in store.results("baseline"))


def test_an_answer_is_on_disk_before_the_next_one_is_asked_for(run, tmp_path):
    counts = []

    class Looking(Answering):
        async def generate(self, prompts, decoding):
            store = RunStore.open(tmp_path / "run")
            counts.append(len(store.unscored("baseline", 0)) + len(store.finished("baseline")))
            store.close()
            return await super().generate(prompts, decoding)

    run(Looking(width=1), n=6)
    assert counts == list(range(6))


def test_what_arrives_at_once_is_one_transaction(run, tmp_path, role, make_manifest):
    sizes = []

    class Counting(RunStore):
        def add(self, arm, repeat, generations, results):
            sizes.append(len(generations))
            super().add(arm, repeat, generations, results)

    class Together(Answering):
        async def generate(self, prompts, decoding):
            self.here = getattr(self, "here", asyncio.Barrier(8))
            await self.here.wait()
            return await super().generate(prompts, decoding)

    RunStore.create(tmp_path / "other", make_manifest(n=8)).close()
    store = Counting.open(tmp_path / "other")
    examples = [role.example({"word": f"w{i}"}) for i in range(8)]
    store.add_examples(examples, role.prompt)
    run(Together(width=8), n=8, store=store)
    assert values(store) == [1.0] * 8
    assert max(sizes) > 1
    assert sum(sizes) == 8


def test_a_finished_run_resumed_asks_for_nothing(run):
    store = run(Answering(), n=4)
    again = Answering()
    run(again, n=4, store=store)
    assert again.calls == []


def test_a_resumed_run_asks_only_for_what_is_missing(run, tmp_path):
    def answer(id_, _):
        return BackendError("down", gone=True) if id_ == "w2" else "GOOD a"

    first = Answering(answer, width=1)
    with pytest.raises(ExceptionGroup):
        run(first, n=5)
    store = RunStore.open(tmp_path / "run")
    done = {row.example_id for row in store.score_rows("baseline")}
    again = Answering()
    run(again, n=5, store=store)
    assert set(again.asked) == {f"w{i}" for i in range(5)} - done
    assert values(store) == [1.0] * 5


def test_generations_that_were_not_scored_are_scored_without_a_call(
    run, tmp_path, role, make_manifest
):
    examples = [role.example({"word": f"w{i}"}) for i in range(3)]
    store = RunStore.create(tmp_path / "other", make_manifest())
    store.add_examples(examples, role.prompt)
    store.add_generations(
        "baseline", 0, [Generation(example_id=e.id, text="GOOD a") for e in examples]
    )
    backend = Answering()
    run(backend, store=store)
    assert (backend.calls, values(store)) == ([], [1.0] * 3)


def test_only_the_chosen_examples_are_asked(run):
    backend = Answering()
    store = run(backend, n=5, only=frozenset({"w1", "w4"}), num_examples=2)
    assert set(backend.asked) == {"w1", "w4"}
    assert store.count("baseline") == 2


def test_many_prompts_are_asked_in_batches_sorted_by_length_within_a_window(run, monkeypatch):
    monkeypatch.setattr(asking, "WINDOW", 12)
    backend = Answering(batch_size=4, width=1)
    store = run(backend, n=15)
    assert values(store) == [1.0] * 15
    sizes = [len(ids) for ids, _ in backend.calls]
    assert sizes == [4, 4, 4, 3]
    first = [id_ for ids, _ in backend.calls[:3] for id_ in ids]
    assert set(first) == {f"w{i}" for i in range(12)}
    assert {first[0], first[1]} == {"w10", "w11"}  # the longest come first


def test_deterministic_asks_one_prompt_at_a_time(run):
    backend = Answering(batch_size=4)
    greedy = Decoding(temperature=0.0, deterministic=True)
    assert values(run(backend, n=6, decoding=greedy)) == [1.0] * 6
    assert [len(ids) for ids, _ in backend.calls] == [1] * 6
    assert backend.most == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_examples(tmp_path, role, metric, make_manifest, monkeypatch):
    monkeypatch.setattr(asking, "WINDOW", 50)

    class Forgetful(Answering):
        async def generate(self, prompts, decoding):
            return [Generation(example_id=p.example_id, text="GOOD a") for p in prompts]

    async def go(job, store):
        with engine.scoring_pool(job) as pool:
            await run_arm("baseline", Forgetful(), job, store, pool)

    peaks = []
    for n in (500, 4_500):
        store = RunStore.create(tmp_path / str(n), make_manifest(n=n))
        words = (f"w{i} " + "long " * 200 for i in range(n))  # 1 KB in each prompt
        store.add_examples((role.example({"word": word}) for word in words), role.prompt)
        job = Job(
            role=role, metric=metric, num_examples=n, decoding=Decoding(), limits=Limits(),
            extraction="lenient",
        )  # fmt: skip
        tracemalloc.start()
        asyncio.run(go(job, store))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert store.count("baseline") == n
        store.close()
    # A tenth of what a prompt takes; what is under way is up to 240 kB more or less.
    assert peaks[1] - peaks[0] < 4_000 * 100


KILLED = """
import asyncio, sys, pathlib
sys.path.insert(0, {tests!r})
from conftest import EchoRole, LengthMetric
from test_engine import Answering
from baft.engine import Job, run_arm, scoring_pool
from baft.records import Decoding, Limits
from baft.store import RunStore
role = EchoRole()
job = Job(role=role, metric=LengthMetric(), num_examples=60, decoding=Decoding(),
          limits=Limits(concurrency=4), extraction="lenient")
store = RunStore.open(pathlib.Path({folder!r}))
log = open({log!r}, "a")
class Logged(Answering):
    async def generate(self, prompts, decoding):
        log.write(prompts[0].example_id + "\\n"); log.flush()
        return await super().generate(prompts, decoding)
async def go():
    with scoring_pool(job) as pool:
        await run_arm("baseline", Logged(), job, store, pool)
asyncio.run(go())
"""


@pytest.mark.slow
def test_a_killed_run_asks_again_at_most_for_what_was_in_flight(tmp_path, role, make_manifest):
    import random
    import time

    examples = [role.example({"word": f"w{i}"}) for i in range(60)]
    folder, log = tmp_path / "run", tmp_path / "log"
    store = RunStore.create(folder, make_manifest(n=60))
    store.add_examples(examples, role.prompt)
    store.close()
    here = os.path.dirname(__file__)
    script = textwrap.dedent(KILLED).format(tests=here, folder=str(folder), log=str(log))
    rng = random.Random(0)
    kills = 0
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "-c", script])
        time.sleep(0.3 + rng.random() * 0.2)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    done = subprocess.run([sys.executable, "-c", script], check=True)
    assert done.returncode == 0
    store = RunStore.open(folder)
    assert [row.value for row in store.score_rows("baseline")] == [1.0] * 60
    asked = log.read_text().split()
    assert len(asked) - 60 <= 4 * kills  # at most the four in flight, each time
