"""Executors: a model in a process of its own can crash, and only its arm ends."""

from __future__ import annotations

import asyncio
import os
import textwrap
import time
from dataclasses import replace

import pytest

from baft import Message, Prompt
from baft.executors import ArmGone, IsolatedExecutor, LocalExecutor, runs_in_process
from baft.executors.memory import CLEAR
from baft.loader import load_plugins
from baft.protocols import Work
from baft.records import Decoding, Limits

PLUGIN = """
import ctypes, os, signal
from baft import BackendError, Generation, hookimpl

class Local:
    batch_size, max_concurrency = 2, 1

    def __init__(self, target, context):
        self.spec, self.context = f"moody:{target}", context
        context.shared.setdefault("opened", []).append(target)
        if target == "absent":
            raise BackendError("No such weights.", "Look elsewhere.")

    def fingerprint(self):
        return self.spec

    def describe(self):
        return {"in_process": True}

    async def generate(self, prompts, decoding):
        for prompt in prompts:
            text = prompt.messages[0].content
            if text == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "exit":
                os._exit(7)
            if text == "segfault":
                ctypes.string_at(0)
            if text == "abort":
                os.abort()
            if text == "eat":
                held = b"x" * (64 << 20)
            if text == "refuse":
                raise BackendError("I refuse.")
        opened = ",".join(self.context.shared["opened"])
        say = f"{os.getpid()} {self.context.device} {opened}"
        return [Generation(example_id=p.example_id, text=say) for p in prompts]

    async def close(self):
        pass

@hookimpl
def baft_register_backends(register):
    register("moody", Local)
"""


@pytest.fixture(autouse=True)
def moody(tmp_path, monkeypatch):
    """A plugin ``moody:`` that other processes find too: they inherit the import path."""
    (tmp_path / "moody_plugin.py").write_text(textwrap.dedent(PLUGIN))
    info = tmp_path / "moody-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[baft]\nmoody = moody_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def work(*texts, spec="moody:m", fingerprint=None, limits=None):
    prompts = [
        Prompt(example_id=f"e{i}", inputs={}, messages=(Message(role="user", content=text),))
        for i, text in enumerate(texts)
    ]
    plugins = load_plugins()
    return Work(
        arm="finetuned",
        spec=spec,
        fingerprint=fingerprint or spec,
        config={"in_process": True},
        prompts=prompts,
        decoding=Decoding(),
        limits=limits or Limits(retries=1, backoff_s=0.001),
        backend=plugins.open("moody:m", plugins.context()),
        surroundings={"device": "cpu", "role": "ba", "blocked": (), "env": {}},
    )


def ask(*works, executor=None):
    """What was delivered for each work, or the error that ended it."""

    async def go():
        used = executor or IsolatedExecutor()
        results = []
        for one in works:
            got = []

            async def deliver(outcome, got=got):
                got.append(outcome)

            try:
                await used.ask(one, deliver)
                results.append(got)
            except ArmGone as error:
                results.append(error)
        await used.close()
        return results

    return asyncio.run(go())


def texts(outcomes):
    return {g.example_id: g.text for outcome in outcomes for g in outcome.generations}


def test_answers_come_from_another_process_that_serves_all_arms():
    first, second = ask(work("a", "b", "c"), work("d", spec="moody:n"))
    assert sorted(texts(first)) == ["e0", "e1", "e2"]
    pid, device, opened = texts(second)["e0"].split()
    assert pid == texts(first)["e0"].split()[0]
    assert int(pid) != os.getpid()
    assert (device, opened) == ("cpu", "m,n")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("die", "SIGKILL"),  # as the kernel does where memory runs out
        ("exit", "exit code 7"),
        ("segfault", "SIGSEGV"),
        ("abort", "SIGABRT"),
    ],
)
def test_a_crash_ends_the_arm_and_the_next_one_gets_a_new_process(how, said):
    before, crash, after = ask(work("a"), work("b", how), work("c"))
    assert said in crash.message
    assert ("too little memory" in crash.message) == (how == "die")
    assert texts(after)["e0"].split()[0] != texts(before)["e0"].split()[0]


@pytest.mark.skipif(not CLEAR.exists(), reason="the peak is forgotten on Linux only")
def test_every_arm_has_a_peak_of_memory_of_its_own():
    first, hungry, last = ask(work("a"), work("b", "eat"), work("c", spec="moody:n"))
    peaks = [max(o.peak_memory_bytes for o in outcomes) for outcomes in (first, hungry, last)]
    assert 8 << 20 < peaks[0] < peaks[1] - (48 << 20)
    assert peaks[2] < peaks[1] - (48 << 20)


def test_a_servers_memory_is_not_ours_to_tell():
    (outcomes,) = ask(replace(work("a"), config={}), executor=LocalExecutor())
    assert [outcome.peak_memory_bytes for outcome in outcomes] == [None]


def test_one_refusal_is_that_example_s_failure():
    (outcomes,) = ask(work("a", "refuse", "b"))
    failures = [o.failure for o in outcomes if o.failure is not None]
    assert [f.example_id for f in failures] == ["e1"]
    assert sorted(texts(outcomes)) == ["e0", "e2"]


def test_another_model_there_does_not_answer():
    (error,) = ask(work("a", fingerprint="something else"))
    assert "another model here" in error.message


def test_a_model_that_cannot_be_opened_there_says_why():
    (error,) = ask(work("a", spec="moody:absent"))
    assert (error.message, error.hint) == ("No such weights.", "Look elsewhere.")


def test_the_process_ends_with_the_executor():
    (outcomes,) = ask(work("a"))
    pid = int(texts(outcomes)["e0"].split()[0])
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("it still runs")


def test_local_asks_a_server_from_here():
    one = replace(work("a"), config={"provider": "a server"})
    (outcomes,) = ask(one, executor=LocalExecutor())
    assert int(texts(outcomes)["e0"].split()[0]) == os.getpid()


def test_a_program_over_a_local_model_runs_in_process():
    assert runs_in_process({"lm": {"lm": {"in_process": True}}})
    assert not runs_in_process({"lm": {"provider": "ollama"}})
