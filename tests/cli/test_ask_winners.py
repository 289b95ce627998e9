"""Every kind of winner answers the pipeline, by the configuration that a promotion writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from baft import Decoding
from baft.loader import load_plugins
from baft.promotion import in_service, read_config
from baft.promotion.winner import with_winner
from baft.testing import FakeOllama, FakeOpenAI

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "artifacts" / "models" / "pocket"
LOCAL = {
    "hf": f"hf:{POCKET}",
    "lora": f"lora:{ROOT}/artifacts/finetuning/pocket-ba-lora",
    "dspy": f"dspy:{ROOT}/artifacts/dspy/pocket_optimized?lm=hf:{POCKET}",
}
CONCEPT = "A booking tool for a small clinic"
READER = re.compile(r"```yaml\s*REQUIREMENTS\s*\n([\s\S]+?)\n```")
"""How the pipeline's legacy path reads a block."""


@pytest.fixture
def adopt(project):
    """Puts a spec into service as a promotion does; returns the parsed configuration."""

    def adopt(spec, **decoding):
        config = read_config(project / "config.yaml")
        written = with_winner(config, "ba", spec, Decoding(**decoding))
        config.path.write_bytes(written.raw)
        assert in_service(written, "ba", load_plugins()).spec == spec
        return written.data

    return adopt


@pytest.fixture
def as_pipeline(project):
    """Calls a command provider as the pipeline's client does."""

    def call(data, user=f"CONCEPT:\n{CONCEPT}\n\nFollow the exact output format."):
        entry = data["roles"]["ba"]
        provider = data["providers"][entry["provider"]]
        assert (provider["type"], provider["input_format"]) == ("codex_cli", "stdin_json")
        sent = {
            "system": "You are …",
            "user": user,
            "model": entry["model"],
            "temperature": float(entry["temperature"]),
            "max_tokens": int(entry["max_tokens"]),
            "prompt": f"System: …\n\nUser: {user}",
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            provider["command"],
            input=json.dumps(sent, ensure_ascii=False).encode(),
            capture_output=True,
            env={**os.environ, "PATH": path},
            timeout=provider["timeout"],
            check=False,
        )

    return call


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOCAL)
def test_a_model_of_this_machine_answers_the_pipeline_alone_and_served(kind, adopt, as_pipeline):
    pytest.importorskip("peft")
    pytest.importorskip("dspy")
    pytest.importorskip("starlette")
    data = adopt(LOCAL[kind], temperature=0.0, max_tokens=700)

    alone = as_pipeline(data)

    assert alone.returncode == 0, alone.stderr.decode()
    document = yaml.safe_load(READER.search(alone.stdout.decode())[1])
    assert document["title"]
    with subprocess.Popen(
        [sys.executable, "-m", "baft", "-q", "serve"], stdout=subprocess.PIPE, text=True
    ) as serving:
        try:
            url = serving.stdout.readline().strip()
            served = as_pipeline(data)
            assert f"Asking the server at {url.removesuffix('/v1')}" in served.stderr.decode()
            assert served.stdout == alone.stdout
            assert ask_streamed(url, max_tokens=60).strip()
        finally:
            serving.terminate()
    assert serving.returncode == 0


def ask_streamed(url, **settings):
    import openai

    with openai.OpenAI(base_url=url, api_key="none") as client:
        asked = [{"role": "user", "content": CONCEPT}]
        chunks = client.chat.completions.create(
            model="ba", messages=asked, stream=True, temperature=0, **settings
        )
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


@pytest.mark.slow
def test_a_prompt_without_a_document_is_an_error_on_stderr(adopt, as_pipeline):
    pytest.importorskip("peft")
    done = as_pipeline(adopt(LOCAL["lora"], temperature=0.0, max_tokens=1))

    assert (done.returncode, done.stdout) == (5, b"")
    assert done.stderr.startswith(b"error: The model's answer holds no document")


ANSWER = "title: A clinic\nconstraints:\n- {id: C001, description: x, priority: High}\n"


@pytest.mark.parametrize(("kind", "fake"), [("ollama", FakeOllama), ("openai", FakeOpenAI)])
def test_a_model_on_a_server_is_asked_where_the_configuration_says(
    kind, fake, adopt, baft, monkeypatch
):
    pytest.importorskip("aiohttp")
    pytest.importorskip(kind)
    with fake(ANSWER) as server:
        url = f"{server.url}/v1" if kind == "openai" else server.url
        name = next(iter(server.models))
        data = adopt(f"{kind}:{name}@{url}", temperature=0.3, max_tokens=321)
        provider = data["providers"][data["roles"]["ba"]["provider"]]
        code, out, err = baft("ask", CONCEPT)

    assert (provider["type"], provider["base_url"]) == (kind, url)
    assert (code, out.strip()) == (0, ANSWER.strip()), err
    asked = server.requests[-1]
    body = asked.body.get("options", asked.body)
    assert CONCEPT in asked.text
    assert (body["temperature"], body.get("num_predict", body.get("max_tokens"))) == (0.3, 321)
