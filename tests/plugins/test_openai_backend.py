"""The OpenAI backend against a server of that dialect."""

from __future__ import annotations

import asyncio
import json

import pytest

from baft import BackendError, Context, Decoding, UsageError
from baft.testing import (
    Answer,
    FakeOpenAI,
    Fault,
    check_backend,
    failing_first,
    prompt_of,
)

pytest.importorskip("aiohttp")

from aiohttp import web

from baft_openai.backend import open_backend

DECODING = Decoding(temperature=0.3, max_tokens=99, seed=5)


def context(**env):
    def never(spec):
        raise AssertionError(spec)

    return Context(open=never, env=env)


def opened(server, model="tiny", **env):
    return open_backend(f"{model}@{server.url}/v1", context(**env))


def ask(backend, *texts, decoding=DECODING):
    async def all_at_once():
        try:
            calls = [backend.generate([prompt_of(text, text)], decoding) for text in texts]
            return [answers[0] for answers in await asyncio.gather(*calls)]
        finally:
            await backend.close()

    return asyncio.run(all_at_once())


def failure(server, answer):
    server.answers = answer
    with pytest.raises(BackendError) as caught:
        ask(opened(server), "x")
    return caught.value


def test_it_keeps_the_contract_of_a_backend():
    with FakeOpenAI() as server:
        check_backend(
            lambda: opened(server),
            unreachable=lambda: open_backend("m@http://127.0.0.1:1/v1", context()),
        )


def test_the_answer_comes_with_its_usage():
    with FakeOpenAI({"bread": "Two words."}) as server:
        (answer,) = ask(opened(server), "bread please")
    assert (answer.text, answer.finish_reason, answer.notes) == ("Two words.", "stop", ())
    assert (answer.prompt_tokens, answer.completion_tokens) == (2, 2)
    assert 0 < answer.latency_s < 10


def test_the_decoding_is_sent():
    with FakeOpenAI() as server:
        ask(opened(server), "x")
        asked = server.requests[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "x"}],
        "temperature": 0.3,
        "max_tokens": 99,
        "seed": 5,
    }


def test_requests_run_at_the_same_time():
    with FakeOpenAI(Answer(text="ok", delay_s=0.2)) as server:
        answers = ask(opened(server), *map(str, range(40)))
    assert [answer.example_id for answer in answers] == [str(i) for i in range(40)]
    assert server.most_at_once == 40


def test_an_answer_that_reaches_the_limit_says_length():
    with FakeOpenAI("one two three four") as server:
        (answer,) = ask(opened(server), "x", decoding=Decoding(max_tokens=2))
    assert (answer.text, answer.finish_reason) == ("one two", "length")


def test_thinking_emptiness_and_other_ends_are_noted():
    given = Answer(text="", thinking="hm hm", finish_reason="content_filter")
    with FakeOpenAI(given) as server:
        (answer,) = ask(opened(server), "x")
    assert answer.finish_reason == "unknown"
    assert answer.notes == (
        "The answer is empty.",
        "Thinking of 5 characters is not part of the answer.",
        "The server ended the answer with 'content_filter'.",
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Fault.BUSY, "503"),
        (Fault.BROKEN, "500 for 'tiny': model runner has unexpectedly stopped"),
        (Answer(status=502, error="bad gateway"), "502"),
        (Fault.LIMITED, "429"),
        (Fault.DROPPED, "lost on its way"),
        (Fault.TRUNCATED, "lost on its way"),
        (Fault.ERROR_IN_200, "broke off with an error: unexpected EOF"),
    ],
)
def test_what_another_try_may_cure_is_retryable_and_tried_by_the_engine_alone(answer, words):
    with FakeOpenAI() as server:
        error = failure(server, answer)
    assert error.retryable
    assert not error.gone
    assert words in error.message
    assert len(server.requests) == 1


def test_retry_after_is_passed_on():
    with FakeOpenAI() as server:
        error = failure(server, Answer(status=429, error="slow down", retry_after="7"))
    assert error.retry_after_s == 7


def test_a_bad_request_is_not_tried_again():
    with FakeOpenAI() as server:
        error = failure(server, Answer(status=400, error="maximum context length is 4096"))
    assert (error.retryable, error.gone) == (False, False)
    assert "maximum context length" in error.message


def test_a_server_that_is_down_is_gone():
    backend = open_backend("m@http://127.0.0.1:1/v1", context())
    for call in (backend.fingerprint, backend.describe, lambda: ask(backend, "x")):
        with pytest.raises(BackendError, match="No server answers") as caught:
            call()
        assert caught.value.gone


def test_an_unknown_model_names_the_nearest():
    with FakeOpenAI(models={"tiny-lora": {}, "tiny": {}}) as server:
        backend = opened(server, "tiny-loar")
        assert backend.describe()["listed"] is False
        with pytest.raises(BackendError, match="Did you mean 'tiny-lora'") as caught:
            ask(backend, "x")
        assert (caught.value.gone, caught.value.retryable) == (True, False)


def test_a_base_url_that_is_not_whole_is_explained():
    with FakeOpenAI() as server:
        backend = open_backend(f"tiny@{server.url}", context())
        assert backend.describe()["listed"] is None  # nothing is listed there
        with pytest.raises(BackendError, match="often ends in /v1"):
            ask(backend, "x")


def test_the_key_comes_from_the_environment():
    with FakeOpenAI(api_key="right") as server:
        backend = opened(server, OPENAI_API_KEY="right")
        assert backend.fingerprint()
        assert ask(backend, "x")[0].text == "An answer."
        assert "right" not in json.dumps(backend.describe())
        for backend in (opened(server), opened(server, OPENAI_API_KEY="wrong")):
            for call in (backend.fingerprint, lambda backend=backend: ask(backend, "x")):
                with pytest.raises(BackendError, match="Set OPENAI_API_KEY") as caught:
                    call()
                assert caught.value.gone


@pytest.mark.parametrize(
    "target",
    ["m@http://me:secret@host/v1", "m@http://host/v1?api_key=secret", "m@https://secret@host/v1"],
)
def test_credentials_in_a_spec_are_refused_and_not_repeated(target):
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as caught:
        open_backend(target, context())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("target", ["m", "m@host:8000/v1", "@http://host/v1", "m@"])
def test_a_spec_without_model_or_url_is_refused(target):
    with pytest.raises(UsageError, match="Write openai:MODEL@http"):
        open_backend(target, context())


def test_a_model_may_hold_an_at_sign():
    backend = open_backend("@cf/meta/llama@fp8@http://host/v1/", context())
    assert (backend._model, backend._url) == ("@cf/meta/llama@fp8", "http://host/v1")


def test_the_fingerprint_ignores_what_changes_by_itself():
    with FakeOpenAI() as server:
        first = opened(server).fingerprint()
        assert opened(server).fingerprint() == first
        server.models["tiny"] = {"root": "org/tiny-2", "max_model_len": 4096}
        assert opened(server).fingerprint() != first
        facts = opened(server).describe()
    assert facts["identity"] == "name only"
    assert facts["listed"] is True
    assert facts["entry"]["root"] == "org/tiny-2"


def test_a_second_try_cures_every_fault():
    with FakeOpenAI(failing_first("ok", tenths=10)) as server:
        for _ in Fault:
            text = f"prompt {len(server.requests)}"
            with pytest.raises(BackendError) as caught:
                ask(opened(server), text)
            assert caught.value.retryable
            assert ask(opened(server), text)[0].text == "ok"


@pytest.mark.parametrize(
    "reply",
    [
        [],
        {"choices": []},
        {"choices": [{"message": {"content": ["text"]}}]},
        {"choices": [{"message": {"content": "text"}, "finish_reason": ["stop"]}]},
    ],
)
def test_an_answer_of_another_shape_is_none(reply):
    with pytest.raises(BackendError, match="no chat answer") as caught:
        replied(reply)
    assert caught.value.retryable


@pytest.mark.parametrize("count", [-1, 1 << 70, "12", None, 1.5])
def test_a_count_that_cannot_be_is_none(count):
    choice = {"message": {"content": "text"}, "finish_reason": "stop"}
    answer = replied({"choices": [choice], "usage": {"completion_tokens": count}})
    assert (answer.text, answer.completion_tokens) == ("text", None)


def test_half_a_character_in_a_prompt_is_explained():
    with FakeOpenAI() as server:
        with pytest.raises(BackendError, match="half a character") as caught:
            ask(opened(server), "\ud800")
    assert not caught.value.retryable


def replied(body):
    """What the backend makes of a reply that is read as it stands."""

    class Replying(FakeOpenAI):
        def routes(self):
            async def reply(request):
                return web.json_response(body)

            return [web.post("/v1/chat/completions", reply)]

    with Replying() as server:
        return ask(opened(server), "x")[0]


def test_a_model_is_looked_at_beside_a_running_loop():
    async def main(server):
        return opened(server).fingerprint()

    with FakeOpenAI() as server:
        assert asyncio.run(main(server)) == opened(server).fingerprint()
