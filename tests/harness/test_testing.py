"""What plugin authors get: fakes that are true to their protocols, and checks that find faults."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

import baft.testing
from baft import BackendError, Decoding, Generation, UsageError
from baft.testing import (
    Answer,
    FakeBackend,
    FakeModel,
    FakeOllama,
    FakeOpenAI,
    Fault,
    check_backend,
    failing_first,
    prompt_of,
)

DECODING = Decoding()


def fetch(method, url, body=None):
    """Status, headers and text of one request."""
    aiohttp = pytest.importorskip("aiohttp")

    async def go():
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=body) as response,
        ):
            return response.status, response.headers, await response.text()

    return asyncio.run(go())


def chat(server, text="hello", *, stream=False, **more):
    body = {"model": "mistral:7b-instruct", "messages": [{"role": "user", "content": text}]}
    return fetch("POST", f"{server.url}/api/chat", {**body, "stream": stream, **more})


def generate(backend, *prompts):
    return asyncio.run(backend.generate(list(prompts), DECODING))


def test_all_is_complete_and_sorted():
    assert baft.testing.__all__ == sorted(baft.testing.__all__)
    assert all(hasattr(baft.testing, name) for name in baft.testing.__all__)


def test_importing_it_loads_no_web_server_and_no_upper_floor():
    code = (
        "import sys, baft.testing; "
        "bad = {'aiohttp', 'httpx', 'baft.engine', 'baft.cli', 'pytest'} & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_aiohttp_a_fake_server_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(UsageError, match="pip install aiohttp"), FakeOllama():
        pass


def test_a_backend_answers_by_id_by_text_or_by_function():
    table = FakeBackend({"e1": "by id", "bread": "by text"})
    answers = generate(table, prompt_of("x", "e1"), prompt_of("some bread", "e2"))
    assert [answer.text for answer in answers] == ["by id", "by text"]
    assert generate(FakeBackend(lambda p: p.example_id * 2), prompt_of("x", "ab"))[0].text == "abab"
    with pytest.raises(BackendError, match="no output for 'e3'"):
        generate(table, prompt_of("y", "e3"))


def test_a_backend_fails_on_demand_and_counts():
    backend = FakeBackend("ok", fail_first=2)
    for _ in range(2):
        with pytest.raises(BackendError) as caught:
            generate(backend, prompt_of("x"))
        assert caught.value.retryable
    assert generate(backend, prompt_of("x"))[0].text == "ok"
    assert backend.asked["e1"] == 3
    assert backend.calls == [("e1",)] * 3
    with pytest.raises(ZeroDivisionError):
        generate(FakeBackend({"e1": ZeroDivisionError()}), prompt_of("x"))


def test_a_backend_keeps_its_own_contract():
    check_backend(lambda: FakeBackend(batch_size=2, wait_s=0.01))
    table = {word: word for word in ("a", "b", "c", "e1")}
    check_backend(lambda: FakeBackend(table), [prompt_of(word, word) for word in "abc"])


def test_backends_with_other_tables_are_other_models():
    prints = {FakeBackend(outputs).fingerprint() for outputs in ("a", "b", {"e": "a"}, {"e": "b"})}
    assert len(prints) == 4


def test_ollama_streams_lines_that_add_up_to_the_answer():
    text = "one two three four five six seven"
    with FakeOllama(Answer(text=text, thinking="hm")) as server:
        status, headers, body = chat(server, stream=True)
        whole = json.loads(chat(server)[2])
    parts = [json.loads(line) for line in body.splitlines()]
    assert status == 200
    assert headers["Content-Type"] == "application/x-ndjson"
    assert "".join(part["message"]["content"] for part in parts) == text
    assert [part["done"] for part in parts] == [False, False, True]
    assert parts[-1]["message"]["thinking"] == "hm"
    assert {**parts[-1], "message": None} == {**whole, "message": None}
    assert whole["message"]["content"] == text


def test_ollama_streams_unless_told_otherwise_and_generates_too():
    with FakeOllama("an answer") as server:
        body = {"model": "mistral:7b-instruct", "prompt": "hello"}
        lines = fetch("POST", f"{server.url}/api/generate", body)[2].splitlines()
    assert [json.loads(line)["response"] for line in lines] == ["an answer", ""]


def test_ollama_breaks_off_a_stream_with_an_error_line():
    with FakeOllama(Fault.ERROR_IN_200) as server:
        status, _, body = chat(server, stream=True)
        assert status == 200
        assert json.loads(body.splitlines()[-1]) == {"error": "unexpected EOF"}
        assert json.loads(chat(server)[2]) == {"error": "unexpected EOF"}


def test_ollama_ignores_options_that_stand_outside_options():
    with FakeOllama("one two three") as server:
        outside = json.loads(chat(server, num_predict=1)[2])
        inside = json.loads(chat(server, options={"num_predict": 1})[2])
    assert (outside["message"]["content"], outside["done_reason"]) == ("one two three", "stop")
    assert (inside["message"]["content"], inside["done_reason"]) == ("one", "length")


def test_ollama_counts_no_more_of_the_prompt_than_its_window():
    with FakeOllama() as server:
        reply = json.loads(chat(server, "word " * 99, options={"num_ctx": 50})[2])
    assert reply["prompt_eval_count"] == 50


def test_ollama_lists_shows_and_misses_models():
    with FakeOllama(models={"a:latest": FakeModel(quantization="Q8_0")}) as server:
        tags = json.loads(fetch("GET", f"{server.url}/api/tags")[2])["models"]
        shown = json.loads(fetch("POST", f"{server.url}/api/show", {"model": "a"})[2])
        missing = chat(server)
        version = json.loads(fetch("GET", f"{server.url}/api/version")[2])
        loaded = json.loads(fetch("POST", f"{server.url}/api/chat", {"model": "a"})[2])
    assert tags[0]["name"] == "a:latest"
    assert len(tags[0]["digest"]) == 64
    assert shown["details"]["quantization_level"] == "Q8_0"
    assert missing[0] == 404
    assert "not found, try pulling it first" in missing[2]
    assert set(version) == {"version"}
    assert loaded["done_reason"] == "load"
    assert not server.requests  # loading asks for no answer


def test_a_busy_server_answers_503_and_says_when_to_come_back():
    with FakeOllama(Answer(status=503, error=Fault.BUSY.value.error, retry_after="2")) as server:
        status, headers, body = chat(server)
    assert (status, headers["Retry-After"]) == (503, "2")
    assert json.loads(body) == {"error": Fault.BUSY.value.error}


@pytest.mark.parametrize("stream", [False, True])
def test_a_truncated_body_is_seen_as_such(stream):
    aiohttp = pytest.importorskip("aiohttp")
    with FakeOllama(Fault.TRUNCATED) as server, pytest.raises(aiohttp.ClientPayloadError):
        chat(server, stream=stream)


def test_openai_streams_events_that_add_up_to_the_answer():
    text = "one two three four five"
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with FakeOpenAI(text) as server:
        url = f"{server.url}/v1/chat/completions"
        events = fetch("POST", url, body)[2].strip().split("\n\n")
        server.answers = Fault.ERROR_IN_200
        broken = fetch("POST", url, body)[2].strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    parts = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    deltas = [choice["delta"] for part in parts for choice in part["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == text
    assert parts[-1]["usage"]["completion_tokens"] == 5
    assert "unexpected EOF" in broken[-1]


def test_the_first_attempts_of_nine_in_ten_fail_in_six_ways():
    with FakeOllama(failing_first("ok")) as server:
        seen = []
        for i in range(20):
            try:
                status, _, body = chat(server, f"prompt {i}")
                seen.append("ok" if '"done": true' in body else f"{status} {body[:12]}")
            except Exception as error:
                seen.append(type(error).__name__)
        again = [chat(server, f"prompt {i}")[0] for i in range(20)]
    assert seen.count("ok") == 2
    assert len(set(seen)) == len(Fault) + 1
    assert again == [200] * 20


def test_prompts_and_generations_of_the_fakes_are_records():
    assert isinstance(generate(FakeBackend(), prompt_of("x"))[0], Generation)
