"""``baft serve`` as a process of its own, and ``baft ask`` beside it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from baft.testing import FakeOpenAI
from baft.testing.answers import Answer

pytest.importorskip("starlette")
openai = pytest.importorskip("openai")
pytest.importorskip("aiohttp")

ANSWER = """\
title: A shop for tea
description: Sells tea.
functional_requirements:
- {id: FR001, description: Sell, priority: High}
"""

REQUEST = {"system": "…", "user": "CONCEPT:\nTé\n\nFollow the exact output format."}


@pytest.fixture
def model():
    with FakeOpenAI(ANSWER) as found:
        yield found


@pytest.fixture
def config(project, model):
    found = project / "config.yaml"
    found.write_text(
        f'providers:\n  openai: {{type: openai, base_url: "{model.url}/v1"}}\n'
        "roles:\n  ba: {provider: openai, model: tiny, temperature: 0.3, max_tokens: 500}\n"
    )
    return found


class Server:
    def __init__(self, *arguments, env=None):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "baft", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    def url(self):
        return self.process.stdout.readline().strip()

    def stop(self, number=signal.SIGINT):
        """Exit code, and what was said."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


@pytest.fixture
def serve(config, monkeypatch):
    started = []

    def serve(*arguments):
        started.append(Server(*arguments))
        return started[-1]

    yield serve
    for one in started:
        one.stop(signal.SIGKILL)


def test_serve_answers_is_found_by_ask_and_leaves_nothing_behind(serve, baft, project, model):
    server = serve("--api-key", "secret")
    url = server.url()
    note = project / "artifacts" / "serving" / "ba.json"
    with openai.OpenAI(base_url=url, api_key="secret") as client:
        asked = [{"role": "user", "content": "Tea"}]
        found = client.chat.completions.create(model="ba", messages=asked)
        pieces = client.chat.completions.create(model="ba", messages=asked, stream=True)
        streamed = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
    assert found.choices[0].message.content == streamed == ANSWER
    assert "Tea" in model.requests[0].text
    assert model.requests[0].body["max_tokens"] == 500

    code, out, err = baft("ask", "A shop")
    assert (code, out.strip()) == (0, ANSWER.strip())
    assert f"Asking the server at {url.removesuffix('/v1')}" in err
    assert note.exists()

    assert server.stop() == (
        0,
        "Loading what is in service for ba …\nThe model 'ba' answers there. "
        "Ctrl-C stops the server.\n",
    )
    assert not note.exists()


def test_the_pipelines_command_asks_the_server_and_speaks_utf8(serve, config, model):
    server = serve()
    server.url()
    done = subprocess.run(
        [sys.executable, "-m", "baft", "ask", "--role", "ba", "--pipeline"],
        input=json.dumps(REQUEST, ensure_ascii=False).encode(),
        capture_output=True,
        env={"PATH": "", "LANG": "C", "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("```yaml REQUIREMENTS\ntitle: A shop for tea\n")
    assert b"Asking the server" in done.stderr
    assert "Té" in model.requests[-1].text


def test_a_killed_server_leaves_a_note_that_ask_sees_through(serve, baft, project):
    server = serve()
    server.url()
    server.stop(signal.SIGKILL)
    note = project / "artifacts" / "serving" / "ba.json"
    assert note.exists()

    code, out, err = baft("ask", "A shop")
    assert (code, out.strip()) == (0, ANSWER.strip())
    assert "is gone" in err
    assert not note.exists()


def test_sigterm_ends_it_like_ctrl_c(serve, project):
    server = serve()
    server.url()
    assert server.stop(signal.SIGTERM)[0] == 0
    assert not (project / "artifacts" / "serving" / "ba.json").exists()


def test_ctrl_c_does_not_wait_for_a_long_answer(serve, model):
    model.answers = Answer(text=ANSWER, delay_s=600)
    server = serve()
    url = server.url()
    with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as asking:
        body = json.dumps({"model": "ba", "messages": [{"role": "user", "content": "x"}]})
        asking.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {url.split('/')[2]}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        while not model.requests:
            time.sleep(0.02)
        server.process.send_signal(signal.SIGINT)
        said = b"".join(iter(lambda: asking.recv(4096), b"")).decode()
        code, err = server.stop()
    assert said.startswith("HTTP/1.1 503 ")
    assert "The server is stopping." in said
    assert (code, "Traceback" in err) == (0, False)


def test_one_server_a_role_and_a_port_that_is_taken(serve, baft):
    server = serve()
    url = server.url()
    code, _, err = baft("serve")
    assert (code, f"serves ba already, at {url}" in err) == (2, True)
    server.stop()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = baft("serve", "--port", taken.getsockname()[1])
    assert (code, "cannot be opened" in err) == (2, True)


def test_an_adoption_while_the_server_runs_is_followed(serve, baft, config):
    server = serve()
    server.url()
    with FakeOpenAI("title: The new one") as other:
        text = config.read_text()
        first = text.split('base_url: "')[1].split('"')[0]
        config.write_text(text.replace(first, f"{other.url}/v1"))
        code, out, err = baft("ask", "A shop")
    assert (code, out.strip()) == (0, "title: The new one")
    assert "is not used: it has" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--role", "bq"], "There is no role named 'bq'"),
        (["--role", "qa"], "no entry roles.qa"),
        (["--config", "nowhere.yaml"], "There is no configuration at nowhere.yaml"),
        (["--api-key", ""], "--api-key is empty"),
        (["--port", "70000"], "cannot be opened"),
    ],
)
def test_what_cannot_be_served_says_why(config, baft, arguments, said):
    code, out, err = baft("serve", *arguments)
    assert (code, out, said in err) == (2, "", True), err


def test_a_model_that_is_down_does_not_start(config, baft, project):
    config.write_text(
        "providers: {openai: {type: openai, base_url: 'http://127.0.0.1:9/v1'}}\n"
        "roles: {ba: {provider: openai, model: tiny}}\n"
    )
    code, out, err = baft("serve")
    assert (code, out, "No server answers" in err) == (5, "", True)
    assert not (project / "artifacts" / "serving").exists()


def test_without_the_extra_it_says_what_to_install(config, baft, monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("baft.serving", "baft.loopback"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("starlette", "starlette.applications", "uvicorn"):
        monkeypatch.setitem(sys.modules, name, None)
    code, _, err = baft("serve")
    assert (code, 'pip install "baft[serve]"' in err) == (2, True)
