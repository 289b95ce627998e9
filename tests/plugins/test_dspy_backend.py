"""Programs over a backend: what is sent, what comes back, and how requests share calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from baft import (
    BackendError,
    Context,
    Decoding,
    Generation,
    Message,
    Prompt,
    UsageError,
    digest,
)

dspy = pytest.importorskip("dspy")

from baft_dspy import batcher as batchers  # noqa: E402
from baft_dspy import lm as lms  # noqa: E402
from baft_dspy import program  # noqa: E402
from baft_dspy.backend import open_backend  # noqa: E402
from baft_dspy.batcher import Asking, Batcher  # noqa: E402
from cook import ECHO as ROLE  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DECODING = Decoding(temperature=3.5, max_tokens=99, seed=5, num_ctx=123)


def well_formed(prompt: Prompt) -> str:
    word = prompt.messages[-1].content.split("\n")[1]
    return f"[[ ## title ## ]]\n{word}\n\n[[ ## tail ## ]]\n{word[-1]}\n\n[[ ## completed ## ]]"


class Model:
    """A backend that answers with a function of the prompt and notes what it was asked."""

    spec = "fake:model"

    def __init__(
        self,
        answer: Callable[[Prompt], str] = well_formed,
        *,
        batch_size: int = 1,
        max_concurrency: int | None = None,
        delay_s: float = 0.0,
        name: str = "model",
    ) -> None:
        self.answer, self.delay_s, self.name = answer, delay_s, name
        self.batch_size, self.max_concurrency = batch_size, max_concurrency
        self.batches: list[list[Prompt]] = []
        self.decodings: set[Decoding] = set()
        self.loops: set[Any] = set()
        self.at_once = self.most_at_once = 0
        self.cancelled = self.closed = 0

    def fingerprint(self) -> str:
        return self.name

    def describe(self) -> dict[str, Any]:
        return {"provider": "fake", "model": self.name}

    async def generate(self, prompts: Any, decoding: Decoding) -> list[Generation]:
        self.batches.append(list(prompts))
        self.decodings.add(decoding)
        self.loops.add(asyncio.get_running_loop())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        return [
            Generation(
                example_id=p.example_id,
                text=self.answer(p),
                finish_reason="length",
                prompt_tokens=7,
                completion_tokens=3,
                latency_s=0.5,
            )
            for p in prompts
        ]

    async def close(self) -> None:
        self.loops.add(asyncio.get_running_loop())
        self.closed += 1


def opened(tmp_path: Path, model: Model, made: Any = None) -> Any:
    program.save(made or program.build(ROLE), ROLE, tmp_path)
    context = Context(open=lambda spec: model, role=ROLE)
    return open_backend(f"{tmp_path}?lm=fake:model", context)


def prompts(count: int) -> list[Prompt]:
    return [
        Prompt(example_id=f"e{i}", inputs={"word": f"word{i}"}, messages=()) for i in range(count)
    ]


def ask(backend: Any, count: int = 1, decoding: Decoding = DECODING) -> list[Generation]:
    async def run() -> list[Generation]:
        try:
            return await backend.generate(prompts(count), decoding)
        finally:
            await backend.close()

    return asyncio.run(run())


def test_the_answer_is_kept_with_its_fields_and_what_was_sent(tmp_path: Path):
    model = Model()
    (generation,) = ask(opened(tmp_path, model))
    assert (
        generation.text
        == "[[ ## title ## ]]\nword0\n\n[[ ## tail ## ]]\n0\n\n[[ ## completed ## ]]"
    )
    assert generation.fields == {"title": "word0", "tail": "0"}
    assert (generation.example_id, generation.finish_reason) == ("e0", "length")
    assert (generation.prompt_tokens, generation.completion_tokens) == (7, 3)
    assert generation.latency_s == 0.5
    ((sent,),) = model.batches
    assert generation.sent == sent.messages
    assert [message.role for message in sent.messages] == ["system", "user"]
    assert (sent.example_id, sent.inputs) == ("e0", {"word": "word0"})


@pytest.mark.parametrize(("known", "expected"), [("a1", digest(["a1"])), (None, None)])
def test_the_hash_of_a_programs_prompt_is_of_its_calls(
    tmp_path: Path, known: str | None, expected: str | None
):
    class Hashing(Model):
        async def generate(self, prompts: Any, decoding: Decoding) -> list[Generation]:
            answers = await super().generate(prompts, decoding)
            return [replace(answer, prompt_sha256=known) for answer in answers]

    (generation,) = ask(opened(tmp_path, Hashing()))
    assert generation.prompt_sha256 == expected


def test_the_prompt_is_what_dspys_adapter_renders(tmp_path: Path):
    made = program.build(ROLE, "Repeat, please:\n  é\u2028x")
    made.generate.demos = [{"word": "a ", "title": "", "tail": "a\n"}]
    model = Model()
    ask(opened(tmp_path, model, made))
    predict = made.generate
    turns = dspy.ChatAdapter().format(predict.signature, predict.demos, {"word": "word0"})
    expected = tuple(Message(role=t["role"], content=t["content"]) for t in turns)
    assert model.batches[0][0].messages == expected


def test_decoding_passes_through_unchanged(tmp_path: Path):
    model = Model()
    ask(opened(tmp_path, model), 3)
    assert model.decodings == {DECODING}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("title: not the marker format", None),
        ("", None),
        ("[[ ## title ## ]]\nhalf of it", {"title": "half of it"}),
    ],
)
def test_text_that_does_not_parse_is_kept_and_asked_once(tmp_path: Path, text: str, fields: Any):
    model = Model(lambda prompt: text)
    (generation,) = ask(opened(tmp_path, model))
    assert (generation.text, generation.fields) == (text, fields)
    assert len(model.batches) == 1


@pytest.fixture
def patient(monkeypatch: Any):
    """No call is made before it is full or everybody waits, however slow this machine is."""
    monkeypatch.setattr(batchers, "LINGER_S", 60.0)


@pytest.mark.usefixtures("patient")
def test_a_batch_becomes_one_call(tmp_path: Path):
    model = Model(batch_size=8, max_concurrency=1)
    backend = opened(tmp_path, model)
    assert (backend.batch_size, backend.max_concurrency) == (8, 1)
    answers = ask(backend, 8)
    assert [a.fields["title"] for a in answers] == [f"word{i}" for i in range(8)]
    assert [len(batch) for batch in model.batches] == [8]


@pytest.mark.usefixtures("patient")
def test_a_batch_that_is_not_full_does_not_wait(tmp_path: Path):
    model = Model(batch_size=64, max_concurrency=1)
    ask(opened(tmp_path, model), 5)
    assert [len(batch) for batch in model.batches] == [5]


@pytest.mark.usefixtures("patient")
def test_programs_that_end_without_asking_hold_nobody_up():
    model = Model(batch_size=8, max_concurrency=1)
    batcher = Batcher(model, threads=8)

    def run(prompt: Prompt) -> Generation:
        if int(prompt.example_id[1:]) % 2:
            raise ValueError("an early end")
        return batcher.ask(prompt, DECODING)

    asked = [Prompt(example_id=p.example_id, inputs={}, messages=()) for p in prompts(6)]
    model.answer = lambda prompt: prompt.example_id
    futures = batcher.run(run, asked)
    assert [future.result(10).text for future in futures[::2]] == ["e0", "e2", "e4"]
    assert all(isinstance(future.exception(10), ValueError) for future in futures[1::2])
    asyncio.run(batcher.close())


def test_a_busy_program_does_not_hold_up_the_others():
    model = Model(lambda prompt: "done", batch_size=8, max_concurrency=1)
    batcher = Batcher(model, threads=4)
    busy = threading.Event()

    def run(prompt: Prompt) -> Any:
        return busy.wait(10) if prompt.example_id == "e0" else batcher.ask(prompt, DECODING)

    futures = batcher.run(run, prompts(3))
    assert [future.result(5).text for future in futures[1:]] == ["done", "done"]
    busy.set()
    assert futures[0].result(5) is True
    asyncio.run(batcher.close())


@pytest.mark.usefixtures("patient")
def test_different_decodings_never_share_a_call():
    model = Model(lambda prompt: "x", batch_size=8, max_concurrency=1)
    batcher = Batcher(model, threads=8)
    other = Decoding(seed=1)
    pairs = [(p, DECODING if i % 2 else other) for i, p in enumerate(prompts(8))]
    for future in batcher.run(lambda pair: batcher.ask(*pair), pairs):
        future.result(5)
    assert [len(batch) for batch in model.batches] == [4, 4]
    assert model.decodings == {DECODING, other}
    asyncio.run(batcher.close())


def test_hundreds_of_programs_in_several_loops_get_their_own_answers(tmp_path: Path):
    model = Model(delay_s=0.02)
    backend = opened(tmp_path, model)
    found: dict[int, list[str]] = {}

    def one_loop(number: int) -> None:
        async def run() -> list[Generation]:
            calls = [backend.generate([prompt], DECODING) for prompt in prompts(100)]
            return [answer for (answer,) in await asyncio.gather(*calls)]

        found[number] = [answer.fields["title"] for answer in asyncio.run(run())]

    threads = [threading.Thread(target=one_loop, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    asyncio.run(backend.close())
    assert found == {n: [f"word{i}" for i in range(100)] for n in range(4)}
    assert len(model.batches) == 400
    assert model.most_at_once > 16
    assert len(model.loops) == 1


def test_calls_at_once_stay_within_the_backends_bound(tmp_path: Path):
    model = Model(max_concurrency=3, delay_s=0.01)
    ask(opened(tmp_path, model), 20)
    assert model.most_at_once == 3


def test_the_backend_lives_and_dies_on_one_loop(tmp_path: Path):
    model = Model()
    backend = opened(tmp_path, model)
    asyncio.run(backend.generate(prompts(1), DECODING))
    asyncio.run(backend.generate(prompts(1), DECODING))
    asyncio.run(backend.close())
    assert (len(model.loops), model.closed) == (1, 1)


def failing(prompt: Prompt) -> str:
    if prompt.example_id == "e2":
        raise BackendError("Too long.", "Shorten it.")
    return well_formed(prompt)


@pytest.mark.usefixtures("patient")
def test_an_error_reaches_the_example_it_belongs_to(tmp_path: Path):
    model = Model(failing, batch_size=4, max_concurrency=1)
    backend = opened(tmp_path, model)
    engine = lms.Engine(backend._batcher, DECODING)
    language_model = lms.language_model(engine)
    askings = [Asking(p.example_id, p.inputs, DECODING) for p in prompts(4)]
    made = program.build(ROLE)
    futures = backend._batcher.run(
        lambda asking: lms.run_program(made, language_model, asking), askings
    )
    errors = [future.exception(10) for future in futures]
    assert [type(error) for error in errors] == [
        type(None),
        type(None),
        BackendError,
        type(None),
    ]
    assert (errors[2].message, errors[2].hint) == ("Too long.", "Shorten it.")
    assert [len(batch) for batch in model.batches] == [4, 1, 1, 1, 1]
    asyncio.run(backend.close())


@pytest.mark.parametrize("kind", ["retryable", "gone"])
def test_an_error_keeps_what_it_says_about_another_try(tmp_path: Path, kind: str):
    def down(prompt: Prompt) -> str:
        raise BackendError("Down.", **{kind: True})

    model = Model(down, batch_size=4, max_concurrency=1)
    with pytest.raises(BackendError, match=r"Down\.") as error:
        ask(opened(tmp_path, model), 4)
    assert getattr(error.value, kind)
    assert len(model.batches) == 1


def test_a_bug_in_the_backend_is_named(tmp_path: Path):
    def broken(prompt: Prompt) -> str:
        raise KeyError("weights")

    with pytest.raises(BackendError, match=r"e0: KeyError: 'weights'\."):
        ask(opened(tmp_path, Model(broken)))


def test_a_cancelled_call_cancels_the_request(tmp_path: Path):
    model = Model(delay_s=60)
    backend = opened(tmp_path, model)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await backend.generate(prompts(2), DECODING)
        await asyncio.sleep(0.1)
        assert model.cancelled == 2
        model.delay_s = 0
        assert len(await backend.generate(prompts(2), DECODING)) == 2
        await backend.close()

    started = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - started < 10


def test_closing_lets_waiting_programs_go(tmp_path: Path):
    model = Model(delay_s=60)
    backend = opened(tmp_path, model)

    async def run() -> None:
        call = asyncio.create_task(backend.generate(prompts(2), DECODING))
        await asyncio.sleep(0.2)
        await backend.close()
        with pytest.raises(BackendError):
            await call
        with pytest.raises((BackendError, RuntimeError)):
            await backend.generate(prompts(1), DECODING)

    asyncio.run(asyncio.wait_for(run(), 10))
    assert model.closed == 1


def test_two_models_never_share_an_answer(tmp_path: Path):
    def says(word: str) -> Callable[[Prompt], str]:
        return lambda prompt: f"[[ ## title ## ]]\n{word}\n\n[[ ## tail ## ]]\n-"

    first, second = (opened(tmp_path, Model(says(word), name=word)) for word in ("one", "two"))
    assert [ask(backend)[0].fields["title"] for backend in (first, second)] == ["one", "two"]
    assert first.fingerprint() != second.fingerprint()


def test_the_same_question_is_asked_again(tmp_path: Path):
    model = Model()
    backend = opened(tmp_path, model)
    asyncio.run(backend.generate(prompts(1), DECODING))
    asyncio.run(backend.generate(prompts(1), DECODING))
    asyncio.run(backend.close())
    assert len(model.batches) == 2


def test_the_fingerprint_is_made_of_content(tmp_path: Path):
    plain = opened(tmp_path / "a", Model())
    again = opened(tmp_path / "b", Model())
    other = opened(tmp_path / "c", Model(), program.build(ROLE, "Shout."))
    assert plain.fingerprint() == again.fingerprint() != other.fingerprint()
    facts = other.describe()
    assert (facts["provider"], facts["instructions"], facts["demos"]) == ("dspy", "Shout.", 0)
    assert facts["lm"] == {"provider": "fake", "model": "model"}
    json.dumps(facts)


def test_nothing_global_is_configured(tmp_path: Path):
    before = dict(dspy.settings.config)
    ask(opened(tmp_path, Model()), 3)
    assert dict(dspy.settings.config) == before
    assert dspy.settings.lm is None
    assert dspy.settings.trace == []


def test_the_spec_is_read(tmp_path: Path):
    program.save(program.build(ROLE), ROLE, tmp_path)
    asked: list[str] = []
    model = Model()

    def open_spec(spec: str) -> Any:
        asked.append(spec)
        return model

    context = Context(open=open_spec, role=ROLE)
    open_backend(f"{tmp_path}?lm=lora:a?base=b", context)
    program.write_json(tmp_path / "optimization_info.json", {"lm": "ollama:m:7b"})
    open_backend(f"{tmp_path / 'program_components.json'}", context)
    assert asked == ["lora:a?base=b", "ollama:m:7b"]
    with pytest.raises(UsageError, match="unknown option 'ml'"):
        open_backend(f"{tmp_path}?ml=x", context)
    with pytest.raises(UsageError, match="cannot run on another"):
        open_backend(f"{tmp_path}?lm=dspy:{tmp_path}", context)
    with pytest.raises(UsageError, match="needs a role"):
        open_backend(str(tmp_path), Context(open=open_spec))


def test_the_contract_before_dspy_3_4_works_too():
    batcher = Batcher(Model(), threads=2)
    model = lms._legacy_model(lms.Engine(batcher, DECODING))
    asking = Asking("e0", {"word": "old"}, DECODING)
    with pytest.warns(DeprecationWarning, match="BaseLM"):
        generation = lms.run_program(program.build(ROLE), model, asking)
    assert generation.fields == {"title": "old", "tail": "d"}
    asyncio.run(batcher.close())


def test_the_plugin_does_not_import_dspy():
    code = "import sys, baft_dspy; sys.exit('dspy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
