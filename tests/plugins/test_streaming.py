"""Answers told while they are written, by servers of both dialects."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from baft import BackendError, Context, Decoding, Streaming
from baft.testing import Answer, FakeOllama, FakeOpenAI, Fault, prompt_of

pytest.importorskip("aiohttp")

from aiohttp import web

import baft_ollama.backend
import baft_openai.backend

TEXT = "One two three four five six seven eight nine."
LONG = "word " * 60_000


def never(spec):
    raise AssertionError(spec)


def ollama(server):
    context = Context(open=never, env={})
    return baft_ollama.backend.open_backend(f"mistral:7b-instruct@{server.url}", context)


def openai(server):
    context = Context(open=never, env={})
    return baft_openai.backend.open_backend(f"tiny@{server.url}/v1", context)


BOTH = pytest.mark.parametrize(("kind", "opened"), [(FakeOllama, ollama), (FakeOpenAI, openai)])


def told(backend, decoding=None):
    """The generation, the same asked for as a whole, and the pieces that were heard."""
    pieces = []

    async def go():
        try:
            given = decoding or Decoding()
            streamed = await backend.stream(prompt_of("x", "x"), given, pieces.append)
            (whole,) = await backend.generate([prompt_of("x", "x")], given)
            return streamed, whole
        finally:
            await backend.close()

    assert isinstance(backend, Streaming)
    return *asyncio.run(go()), pieces


@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        Answer(text=TEXT),
        Answer(text=TEXT, thinking="hm hm"),
        Answer(text=" "),
        Answer(text=TEXT, finish_reason="odd"),
        Answer(text="<think>hm</think> ok", prompt_tokens=8192),
    ],
)
def test_a_stream_comes_to_the_same_generation(kind, opened, answer):
    with kind(answer) as server:
        streamed, whole, pieces = told(opened(server))
    assert "".join(pieces) == streamed.text == answer.text
    assert dataclasses.replace(streamed, latency_s=None) == dataclasses.replace(
        whole, latency_s=None
    )


@BOTH
def test_it_is_told_piece_by_piece_and_cut_off_by_the_limit(kind, opened):
    with kind(TEXT) as server:
        streamed, _, pieces = told(opened(server), Decoding(max_tokens=6))
    assert len(pieces) == 2
    assert (streamed.text, streamed.finish_reason) == ("One two three four five six", "length")
    assert streamed.completion_tokens == 6


@BOTH
def test_a_piece_may_be_long(kind, opened, monkeypatch):
    monkeypatch.setattr("baft.testing.fake_server.STEP", 1_000_000)
    with kind(LONG.strip()) as server:
        streamed, _, pieces = told(opened(server), Decoding(max_tokens=100_000))
    assert len(pieces) == 1
    assert streamed.text == LONG.strip()


@BOTH
@pytest.mark.parametrize("fault", Fault)
def test_a_broken_stream_may_be_tried_again(kind, opened, fault):
    with kind(fault) as server:
        with pytest.raises(BackendError) as caught:
            told(opened(server))
    assert (caught.value.retryable, caught.value.gone) == (True, False)


@pytest.mark.parametrize(
    ("dialect", "body", "said"),
    [
        ("ollama", b'{"message": {"content": "Half"}, "done": false}\n', "before it was done"),
        ("ollama", b'{"message": {"content": "Half"}, "do', "cut off"),
        ("ollama", b'{"done": true}\n', "cut off"),
        ("ollama", b"[]\n", "cut off"),
        ("openai", b'data: {"choices": [{"delta": {"content": "Half"}}]}\n\n', "before it was"),
        ("openai", b'data: {"choices": [{"del\n\n', "cut off"),
        ("openai", b'data: {"choices": {}}\n\n', "no chat answer"),
        ("openai", b"data: []\n\n", "no chat answer"),
    ],
)
def test_a_stream_that_ends_early_or_holds_something_else_is_no_answer(dialect, body, said):
    """The connection closes in order, so only the content tells."""

    class Replying(FakeOllama if dialect == "ollama" else FakeOpenAI):
        async def _generate(self, request):
            return web.Response(body=body)

        _complete = _generate

    with Replying() as server:
        with pytest.raises(BackendError, match=said) as caught:
            told((ollama if dialect == "ollama" else openai)(server))
    assert caught.value.retryable
