"""The ``openai`` backend against what vLLM, llama.cpp, TGI and Ray Serve LLM really send.

Each body has the shape that the server's own documentation or source gives it.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from baft import BackendError, Context, Decoding
from baft.records import ArmManifest
from baft.store.cache import GenerationCache
from baft.testing import FakeOpenAI, prompt_of

pytest.importorskip("aiohttp")

from aiohttp import web

from baft_openai.backend import open_backend

BASE = {"root": "mistralai/Mistral-7B-Instruct-v0.3", "parent": None, "max_model_len": 4096}
ADAPTER = {"root": "/adapters/ba", "parent": "base", "max_model_len": None}
MODELS = {"base": BASE, "ba-lora": ADAPTER, "base:qa": {**ADAPTER, "root": "/adapters/qa"}}


def opened(server, model):
    def never(spec):
        raise AssertionError(spec)

    return open_backend(f"{model}@{server.url}/v1", Context(open=never, env={}))


def ask(backend, *, stream=False):
    async def go():
        try:
            if stream:
                return await backend.stream(prompt_of("x", "x"), Decoding(), lambda piece: None)
            return (await backend.generate([prompt_of("x", "x")], Decoding()))[0]
        finally:
            await backend.close()

    return asyncio.run(go())


def replying(body, *, status=200, headers=None):
    """A server that answers every chat with these bytes."""

    class Replying(FakeOpenAI):
        async def _complete(self, request):
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return web.Response(body=content, status=status, headers=headers)

    return Replying(models=MODELS)


@pytest.mark.parametrize("stream", [False, True])
def test_adapters_are_models_of_their_own_by_name(stream):
    """vLLM lists each LoRA adapter beside its base; Ray Serve LLM names them BASE:ADAPTER."""
    with FakeOpenAI(lambda asked: f"I am {asked.model}.", models=MODELS) as server:
        for name in MODELS:
            assert ask(opened(server, name), stream=stream).text == f"I am {name}."
        assert [asked.model for asked in server.requests] == list(MODELS)
        prints = {name: opened(server, name).fingerprint() for name in MODELS}
        assert len(set(prints.values())) == 3
        facts = opened(server, "ba-lora").describe()
    assert facts["listed"] is True
    assert (facts["entry"]["parent"], facts["entry"]["root"]) == ("base", "/adapters/ba")


def test_adapters_of_one_base_share_no_answer(tmp_path):
    """One URL, one base, one prompt: the name alone tells them apart, also in the cache."""
    cache = GenerationCache(tmp_path / "cache.db")
    with FakeOpenAI(lambda asked: f"I am {asked.model}.", models=MODELS) as server:
        kept = {}
        for name in MODELS:
            backend = opened(server, name)
            arm = ArmManifest(
                name="x",
                spec=backend.spec,
                fingerprint=backend.fingerprint(),
                config=backend.describe(),
            )
            part = cache.of(arm)
            assert part.find([prompt_of("x", "x")], Decoding()) == []
            part.keep([prompt_of("x", "x")], Decoding(), [ask(backend)])
            part.flush()
            kept[name] = part
        for name, part in kept.items():
            (answer,) = part.find([prompt_of("x", "x")], Decoding())
            assert answer.text == f"I am {name}."
    cache.close()


def test_an_adapter_that_was_unloaded_is_gone_and_the_nearest_is_named():
    with FakeOpenAI(models={"base": BASE, "ba-lora-2": ADAPTER}) as server:
        backend = opened(server, "ba-lora")
        assert backend.describe()["listed"] is False
        with pytest.raises(BackendError, match="Did you mean 'ba-lora-2'") as caught:
            ask(backend)
    assert (caught.value.gone, caught.value.retryable) == (True, False)


@pytest.mark.parametrize(
    ("status", "body", "said", "retryable", "gone"),
    [
        (  # vLLM, older versions: flat
            400,
            {"object": "error", "message": "maximum context length is 4096", "code": 400},
            "maximum context length is 4096",
            False,
            False,
        ),
        (  # vLLM, newer versions: nested
            404,
            {"error": {"message": "The model `ba-lora` does not exist.", "code": 404}},
            "does not exist",
            False,
            True,
        ),
        (  # llama.cpp while it loads
            503,
            {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
            "Loading model",
            True,
            False,
        ),
        (  # TGI under load
            429,
            {"error": "Model is overloaded", "error_type": "overloaded"},
            "Model is overloaded",
            True,
            False,
        ),
        (  # Ray Serve's proxy without a replica
            500,
            b"Internal Server Error",
            "Internal Server Error",
            True,
            False,
        ),
        (422, {"detail": [{"msg": "seed: not a number"}]}, "seed: not a number", False, False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_their_errors_are_told_apart(status, body, said, retryable, gone, stream):
    with replying(body, status=status) as server:
        with pytest.raises(BackendError) as caught:
            ask(opened(server, "ba-lora"), stream=stream)
    assert said in caught.value.message
    assert (caught.value.retryable, caught.value.gone) == (retryable, gone)


def test_a_stream_as_vllm_sends_it():
    """Role first, reasoning apart, empty last delta, usage in an event without choices."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "base"}

    def chunk(delta, finish=None, **rest):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [{**choice, **rest}]}

    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    parts = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "Let me see"}),
        chunk({"content": "Two "}),
        chunk({"content": "words."}),
        chunk({"content": ""}, "stop", stop_reason=None),
        {**head, "choices": [], "usage": usage},
    ]
    events = b": ping\r\n\r\n" + b"".join(
        b"data: " + json.dumps(part).encode() + b"\r\n\r\n" for part in parts
    )
    with replying(events + b"data: [DONE]\r\n\r\n") as server:
        answer = ask(opened(server, "base"), stream=True)
    assert (answer.text, answer.finish_reason) == ("Two words.", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (11, 5)
    assert answer.notes == ("Thinking of 10 characters is not part of the answer.",)


def test_a_whole_answer_as_llama_cpp_sends_it():
    """Further keys beside the known ones, among them ``timings``."""
    choice = {"finish_reason": "length", "index": 0, "message": {"role": "assistant"}}
    choice["message"]["content"] = "Cut"
    body = {
        "choices": [choice],
        "usage": {"completion_tokens": 1, "prompt_tokens": 9, "total_tokens": 10},
        "timings": {"prompt_n": 9, "predicted_per_second": 41.2},
        "system_fingerprint": "b6400",
    }
    with replying(body) as server:
        answer = ask(opened(server, "base"))
    assert (answer.text, answer.finish_reason, answer.prompt_tokens) == ("Cut", "length", 9)


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("abort", "unknown")]
)
def test_ends_as_vllm_names_them(reason, finish):
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": reason}], "usage": None}
    with replying(body) as server:
        answer = ask(opened(server, "base"))
    assert answer.finish_reason == finish
    assert bool(answer.notes) is (finish == "unknown")
