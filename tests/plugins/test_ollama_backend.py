"""The Ollama backend against a server that behaves like Ollama."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from email.utils import formatdate

import pytest

from baft import BackendError, Context, Decoding, UsageError
from baft.testing import (
    Answer,
    FakeModel,
    FakeOllama,
    Fault,
    check_backend,
    prompt_of,
)

pytest.importorskip("aiohttp")

import aiohttp
from aiohttp import web

from baft_ollama import server as servers
from baft_ollama.backend import open_backend

MODEL = "mistral:7b-instruct"
DECODING = Decoding(temperature=0.3, max_tokens=99, seed=5, num_ctx=1000)


def context(**env):
    def never(spec):
        raise AssertionError(spec)

    return Context(open=never, env=env)


def opened(server, model=MODEL):
    return open_backend(f"{model}@{server.url}", context())


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
    with FakeOllama() as server:
        check_backend(
            lambda: opened(server),
            unreachable=lambda: open_backend(f"{MODEL}@127.0.0.1:1", context()),
        )


def test_the_answer_comes_with_its_counts():
    with FakeOllama({"bread": "Two words."}) as server:
        (answer,) = ask(opened(server), "bread please")
    assert (answer.text, answer.finish_reason, answer.notes) == ("Two words.", "stop", ())
    assert (answer.prompt_tokens, answer.completion_tokens) == (2, 2)
    assert 0 < answer.latency_s < 10


def test_options_are_sent_inside_options_and_nothing_is_streamed():
    with FakeOllama() as server:
        ask(opened(server), "x")
        body = server.requests[0].body
    assert body["options"] == {"temperature": 0.3, "num_predict": 99, "seed": 5, "num_ctx": 1000}
    assert body["stream"] is False
    assert "format" not in body
    assert body["model"] == MODEL
    assert server.requests[0].path == "/api/chat"


def test_requests_run_at_the_same_time():
    with FakeOllama(Answer(text="ok", delay_s=0.2)) as server:
        answers = ask(opened(server), *map(str, range(40)))
    assert [answer.example_id for answer in answers] == [str(i) for i in range(40)]
    assert server.most_at_once == 40


def test_an_answer_that_reaches_the_limit_says_length():
    with FakeOllama("one two three four") as server:
        (answer,) = ask(opened(server), "x", decoding=Decoding(max_tokens=2))
    assert (answer.text, answer.finish_reason) == ("one two", "length")


@pytest.mark.parametrize(("tokens", "cut"), [(1000, True), (998, True), (500, True), (300, False)])
def test_a_prompt_that_fills_the_window_or_half_of_it_is_noted(tokens, cut):
    with FakeOllama(Answer(text="ok", prompt_tokens=tokens)) as server:
        (answer,) = ask(opened(server), "x")
    assert any("cut in silence" in note for note in answer.notes) is cut


def test_thinking_is_no_part_of_the_answer():
    with FakeOllama(Answer(text="ok", thinking="hm hm")) as server:
        (answer,) = ask(opened(server), "x")
    assert answer.text == "ok"
    assert answer.notes == ("Thinking of 5 characters is not part of the answer.",)


def test_thinking_within_the_text_stays_and_is_noted():
    with FakeOllama("<think>hm</think>ok") as server:
        (answer,) = ask(opened(server), "x")
    assert answer.text == "<think>hm</think>ok"
    assert answer.notes == ("The answer holds a thinking block.",)


def test_empty_answers_and_other_ends_are_noted():
    with FakeOllama(Answer(text=" ", finish_reason="load", load_s=12.34)) as server:
        (answer,) = ask(opened(server), "x")
    assert answer.finish_reason == "unknown"
    assert answer.notes == (
        "The answer is empty.",
        "The server ended the answer with 'load'.",
        "12.3 s of the latency went into loading the model.",
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Fault.BUSY, "503"),
        (Fault.BROKEN, "500: model runner has unexpectedly stopped"),
        (Answer(status=502, error="bad gateway"), "502"),
        (Fault.LIMITED, "429"),
        (Fault.DROPPED, "lost on its way"),
        (Fault.TRUNCATED, "lost on its way"),
        (Fault.ERROR_IN_200, "broke off with an error: unexpected EOF"),
    ],
)
def test_what_another_try_may_cure_is_retryable(answer, words):
    with FakeOllama() as server:
        error = failure(server, answer)
    assert error.retryable
    assert not error.gone
    assert words in error.message


def test_a_bad_request_is_not_tried_again():
    with FakeOllama() as server:
        error = failure(server, Answer(status=400, error="does not support chat"))
    assert (error.retryable, error.gone) == (False, False)
    assert "does not support chat" in error.message


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("3", 3, 3), (formatdate(usegmt=True), 0, 0), ("-5", 0, 0), ("3.5", 3.5, 3.5)],
)
def test_retry_after_is_passed_on(header, least, most):
    with FakeOllama() as server:
        error = failure(server, Answer(status=503, error="busy", retry_after=header))
    assert least <= error.retry_after_s <= most


@pytest.mark.parametrize("header", ["", "soon", "inf", "nan"])
def test_a_retry_after_that_is_none_is_ignored(header):
    with FakeOllama() as server:
        error = failure(server, Answer(status=503, error="busy", retry_after=header))
    assert error.retry_after_s is None


def test_a_server_that_is_down_is_gone_and_says_what_to_type():
    backend = open_backend(f"{MODEL}@127.0.0.1:1", context())
    for call in (backend.fingerprint, backend.describe, lambda: ask(backend, "x")):
        with pytest.raises(BackendError, match="No Ollama server answers") as caught:
            call()
        assert caught.value.gone
        assert caught.value.retryable  # it may be restarting
        assert "`ollama serve`" in caught.value.hint


def test_a_model_that_is_not_pulled_names_the_nearest_and_the_command():
    with FakeOllama(models={"mistral:7b-instruct": FakeModel(), "qwen3:4b": FakeModel()}) as server:
        with pytest.raises(BackendError, match="no model 'mistral:7b-instuct'") as caught:
            opened(server, "mistral:7b-instuct").fingerprint()
        assert caught.value.gone
        assert "Did you mean 'mistral:7b-instruct'?" in caught.value.hint
        assert "`ollama pull mistral:7b-instuct`" in caught.value.hint
        with pytest.raises(BackendError, match="`ollama pull gone`") as caught:
            ask(opened(server, "gone"), "x")
        assert (caught.value.gone, caught.value.retryable) == (True, False)


def test_another_server_on_the_port_is_told_apart():
    from baft.testing import FakeOpenAI

    with FakeOpenAI() as server:
        backend = opened(server)
        for call in (backend.fingerprint, lambda: ask(backend, "x")):
            with pytest.raises(BackendError, match=r"404.*Is it an Ollama server\?") as caught:
                call()
            assert caught.value.gone


def test_the_fingerprint_is_of_content_not_of_names():
    models = {"a:latest": FakeModel(), "b:latest": FakeModel()}
    with FakeOllama(models=models) as server:
        first = opened(server, "a").fingerprint()
        assert opened(server, "b").fingerprint() == first
        assert opened(server, "a:latest").fingerprint() == first
        changes = [
            FakeModel(weights="pulled again"),
            FakeModel(template="{{ .Prompt }}"),
            FakeModel(parameters=("temperature 0.1",)),
        ]
        others = set()
        for changed in changes:
            server.models["a:latest"] = changed
            others.add(opened(server, "a").fingerprint())
    assert len(others | {first}) == 4


def test_parameters_in_another_order_are_the_same_model():
    lines = tuple(f"stop {i}" for i in range(9))
    with FakeOllama(models={MODEL: FakeModel(parameters=lines)}) as server:
        assert len({opened(server).fingerprint() for _ in range(5)}) == 1


def test_a_tag_that_is_not_installed_is_no_match():
    with FakeOllama(models={"mistral:latest": FakeModel()}) as server:
        with pytest.raises(BackendError, match="Did you mean 'mistral:latest'"):
            opened(server, "mistral:7b").fingerprint()


def test_describe_tells_the_model_apart():
    with FakeOllama() as server:
        facts = opened(server).describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["provider"] == "ollama"
    assert facts["quantization"] == "Q4_0"
    assert facts["digest"] == FakeModel().digest
    assert facts["parameters"] == ['stop "[/INST]"', 'stop "[INST]"']
    assert facts["server_version"]
    assert len(facts["template_sha256"]) == 64


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":56789", "http://127.0.0.1:56789"),
        ("1.2.3.4:56789", "http://1.2.3.4:56789"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://example.com:56789/path/", "https://example.com:56789/path"),
        ("example.com/path", "http://example.com:11434/path"),
        ("'example.com' ", "http://example.com:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::]:5000", "http://[::1]:5000"),
    ],
)
def test_an_address_has_the_forms_of_ollama_host(given, url):
    assert servers.read_address(given).url == url
    backend = open_backend("m", context(OLLAMA_HOST=given))
    assert backend.spec == "ollama:m"
    assert backend._url == url


@pytest.mark.parametrize("given", ["ftp://host", "host:port", "host?key=1", "host:99999"])
def test_an_address_that_is_none_is_refused(given):
    with pytest.raises(UsageError, match="cannot be read"):
        servers.read_address(given)


def test_the_spec_wins_over_the_environment():
    backend = open_backend("m@box", context(OLLAMA_HOST="other"))
    assert backend._url == "http://box:11434"


def test_a_password_belongs_in_the_environment_and_is_never_shown():
    with pytest.raises(UsageError, match="OLLAMA_HOST") as caught:
        open_backend("m@http://me:secret@host", context())
    assert "secret" not in str(caught.value)
    with FakeOllama() as server:
        host = server.url.replace("http://", "http://me:secret@")
        backend = open_backend(MODEL, context(OLLAMA_HOST=host))
        assert "secret" not in json.dumps(backend.describe())
        ask(backend, "x")
    assert server.requests[0].headers["authorization"].startswith("Basic ")


def test_a_key_of_the_environment_is_sent():
    with FakeOllama() as server:
        ask(open_backend(f"{MODEL}@{server.url}", context(OLLAMA_API_KEY="k")), "x")
    assert server.requests[0].headers["authorization"] == "Bearer k"


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FakeOllama() as server:
        assert opened(server).fingerprint()
        assert ask(opened(server), "x")[0].text == "An answer."


def test_a_spec_without_a_model_is_refused():
    with pytest.raises(UsageError, match="without a model"):
        open_backend("@http://host", context())


def test_registering_loads_no_client():
    code = (
        "import sys, baft_ollama, baft_openai, baft.loader; baft.loader.load_plugins(); "
        "bad = {'httpx', 'aiohttp'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_the_package_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "import baft\nfrom baft.loader import load_plugins\n"
        "plugins = load_plugins()\n"
        "try: plugins.open('ollama:m', plugins.context())\n"
        "except baft.PluginError as error: print(error.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True
    )
    assert 'pip install "baft[ollama]"' in done.stdout


def test_a_host_that_never_answers_is_gone_and_a_broken_connection_is_not():
    assert servers.broken_call(aiohttp.ConnectionTimeoutError(), "http://host").gone
    assert not servers.broken_call(aiohttp.ServerDisconnectedError(), "http://host").gone


@pytest.mark.parametrize(
    "reply",
    [
        [],
        {"done": True},
        {"message": "text"},
        {"message": {"content": ["text"]}},
        {"message": {"content": "text"}, "done_reason": ["stop"]},
    ],
)
def test_an_answer_of_another_shape_is_none(reply):
    with pytest.raises(BackendError, match="cut off or none") as caught:
        replied(reply)
    assert caught.value.retryable


@pytest.mark.parametrize("count", [-1, 1 << 70, "12", None, 1.5])
def test_a_count_that_cannot_be_is_none(count):
    message = {"content": "text"}
    answer = replied({"message": message, "done_reason": "stop", "eval_count": count})
    assert (answer.text, answer.completion_tokens) == ("text", None)


def test_half_a_character_in_a_prompt_is_explained():
    with FakeOllama() as server:
        with pytest.raises(BackendError, match="half a character") as caught:
            ask(opened(server), "\ud800")
    assert not caught.value.retryable


def replied(body):
    """What the backend makes of a reply that is read as it stands."""

    class Replying(FakeOllama):
        def routes(self):
            async def reply(request):
                return web.json_response(body)

            return [web.post("/api/chat", reply)]

    with Replying() as server:
        return ask(opened(server), "x")[0]


def test_a_model_is_looked_at_beside_a_running_loop():
    async def main(server):
        return opened(server).fingerprint()

    with FakeOllama() as server:
        assert asyncio.run(main(server)) == opened(server).fingerprint()
