"""Uploading a model to a server that behaves like Ollama."""

from __future__ import annotations

import hashlib
import json

import pytest

import baft
from baft.testing import FakeModel, FakeOllama

pytest.importorskip("ollama")

import ollama

from baft.testing.fake_models import render
from baft_ollama.exporter import SAMPLING, OllamaExporter, template

FORM = baft.ChatForm(
    user=("[INST] ", " [/INST]"),
    system=("[INST] ", "\n\n", " [/INST]"),
    begins="<s>",
    stops=("</s>", "[INST]"),
    context=4096,
)
FILES = {
    "config.json": b'{"model_type": "mistral"}',
    "model.safetensors": b"w" * 3_000_000,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"bos_token": "<s>"}',
    "chat_template.jinja": b"{{ messages }}",
    "export_info.json": b"{}",
}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "merged"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def quietly(step):
    assert step


def export(server, model, *, log=quietly, form=FORM, name="tuned", **options):
    return OllamaExporter(server.url, {}).export(model, name, form, options, log)


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_folder_becomes_a_model(model):
    with FakeOllama() as server:
        assert export(server, model, num_ctx=8192) == f"ollama:tuned@{server.url}"
        made = server.models["tuned:latest"]
        assert set(made.files) == set(FILES) - {"export_info.json"}
        assert made.files["model.safetensors"] == sha256(FILES["model.safetensors"])
        assert server.store.blobs[made.files["config.json"]] == FILES["config.json"]
        settings = json.loads(server.store.blobs[made.files["tokenizer_config.json"]])
        assert settings == {"bos_token": "<s>", "add_bos_token": True}
        with ollama.Client(server.url) as client:
            shown = client.show("tuned")
    lines = {tuple(line.split(maxsplit=1)) for line in shown.parameters.splitlines()}
    assert lines == {
        ("stop", '"</s>"'),
        ("stop", '"[INST]"'),
        *((name, str(value)) for name, value in SAMPLING.items()),
        ("num_ctx", "4096"),
    }


def test_the_template_renders_what_the_form_renders(model):
    with FakeOllama() as server:
        export(server, model)
        made = server.models["tuned:latest"]
    turn = [{"role": "user", "content": "Hi {{ .Prompt }}"}]
    assert made.render(turn) == FORM.render("Hi {{ .Prompt }}")
    system = {"role": "system", "content": "Be brief"}
    assert made.render([system, *turn]) == FORM.render("Hi {{ .Prompt }}", "Be brief")


@pytest.mark.parametrize("piece", ["{{", "{", "}}", '{"a": "b\n"} ', "“{{ .System }}”\\", "%}"])
def test_braces_of_a_template_are_text(piece):
    form = baft.ChatForm(
        user=(piece, piece), system=(piece, piece, piece), begins="", stops=("x",), context=None
    )
    for system in ("", "S"):
        values = {"System": system, "Prompt": "P", "Response": ""}
        assert render(template(form), values) == form.render("P", system)


def test_what_the_server_has_is_not_sent_again(model):
    with FakeOllama() as server:
        export(server, model)
        first = list(server.store.uploads)
        export(server, model, name="again")
        assert server.store.uploads == first
        (model / "config.json").write_text("{}")
        export(server, model, name="changed")
        assert len(server.store.uploads) == len(first)  # the same bytes as tokenizer.json
        (model / "config.json").write_text('{"other": 1}')
        export(server, model, name="changed")
        assert server.store.uploads == [*first, sha256(b'{"other": 1}')]


def test_an_upload_that_breaks_off_is_tried_again(model):
    with FakeOllama() as server:
        server.store.drops = 1
        export(server, model)
        assert len(server.store.uploads) == len(set(server.store.uploads)) + 1
        assert "tuned:latest" in server.models


def test_an_upload_that_keeps_breaking_off_is_an_error_and_goes_on_later(model, monkeypatch):
    monkeypatch.setattr("baft_ollama.exporter.TRIES", 2)
    with FakeOllama() as server:
        server.store.drops = 2
        with pytest.raises(baft.BackendError, match="lost on its way"):
            export(server, model)
        server.store.drops = 0
        done = set(server.store.blobs)
        before = len(server.store.uploads)
        export(server, model)
        assert not done & set(server.store.uploads[before:])


def test_progress_is_told_in_mebibytes_and_statuses(model):
    said = []
    with FakeOllama() as server:
        export(server, model, log=said.append, quantize="int8")
    steps = [step for step in said if "step" in step]
    assert steps[-1]["step"] == steps[-1]["total"] == 2
    assert [step["step"] for step in steps] == sorted(step["step"] for step in steps)
    assert {"step": 1, "total": 2, "what": "model.safetensors"} in steps
    statuses = [step["message"] for step in said if "message" in step]
    assert "server: quantizing to int8" in statuses
    assert statuses[-1] == "server: success"


@pytest.mark.parametrize(
    ("version", "type_", "is_known"),
    [
        ("0.33.0", "q4_K_M", True),
        ("0.34.1", "q4_K_M", False),
        ("0.34.1", "int4", True),
        ("0.33.0", "int4", False),
    ],
)
def test_a_quantization_is_the_servers_to_know(model, version, type_, is_known):
    with FakeOllama(version=version) as server:
        if is_known:
            export(server, model, quantize=type_)
            assert server.models["tuned:latest"].quantization == type_
            return
        with pytest.raises(baft.UsageError, match="supported types are") as caught:
            export(server, model, quantize=type_)
        assert "--quantize" in caught.value.hint
        assert "tuned:latest" not in server.models


def test_a_server_that_cannot_read_safetensors_says_what_to_do(model, tmp_path):
    gguf = tmp_path / "tuned.gguf"
    gguf.write_bytes(b"GGUF")
    with FakeOllama(mlx=False) as server:
        with pytest.raises(baft.BackendError, match="MLX runtime") as caught:
            export(server, model)
        assert "--gguf FILE" in caught.value.hint
        export(server, model, gguf=gguf)
        assert server.models["tuned:latest"].files == {"tuned.gguf": sha256(b"GGUF")}


def test_an_error_in_the_middle_of_making_is_an_error(model):
    with FakeOllama() as server:
        server.store.create_error = "no space left on device"
        with pytest.raises(baft.BackendError, match="no space left on device"):
            export(server, model)
        assert "tuned:latest" not in server.models


def test_a_server_that_keeps_another_template_is_found_out(model):
    class Stubborn(dict):
        def __setitem__(self, name, made):
            super().__setitem__(name, FakeModel(files=made.files))

    with FakeOllama() as server:
        server.store.models = server.models = Stubborn()
        with pytest.raises(baft.BackendError, match="another template"):
            export(server, model)


@pytest.mark.parametrize("name", ["", "a b", "../x", "a:b:c", "-a", "a/", "x" * 3 + "\n"])
def test_a_name_that_cannot_be_is_refused(name):
    with FakeOllama() as server, pytest.raises(baft.UsageError, match="no name for a model"):
        OllamaExporter(server.url, {}).check(name, {})


def test_a_name_that_is_taken_is_not_overwritten_unasked():
    with FakeOllama(models={"tuned:latest": FakeModel()}) as server:
        exporter = OllamaExporter(server.url, {})
        for name in ("tuned", "tuned:latest"):
            with pytest.raises(baft.UsageError, match="already") as caught:
                exporter.check(name, {})
            assert "--overwrite" in caught.value.hint
            exporter.check(name, {"overwrite": True})
        exporter.check("tuned:v2", {})


def test_a_server_that_is_down_or_another_is_seen_first(tmp_path):
    with pytest.raises(baft.BackendError, match="No Ollama server answers"):
        OllamaExporter("127.0.0.1:1", {}).check("tuned", {})
    from baft.testing import FakeOpenAI

    with FakeOpenAI() as server, pytest.raises(baft.BackendError, match="404"):
        OllamaExporter(server.url, {}).check("tuned", {})
    with FakeOllama() as server, pytest.raises(baft.UsageError, match="no GGUF file"):
        OllamaExporter(server.url, {}).check("tuned", {"gguf": tmp_path / "none.gguf"})


def test_without_a_host_the_environments_server_is_meant(model):
    with FakeOllama() as server:
        exporter = OllamaExporter("", {"OLLAMA_HOST": server.url, "OLLAMA_API_KEY": "k"})
        assert exporter.export(model, "tuned:v1", FORM, {}, quietly) == "ollama:tuned:v1"
        assert "tuned:v1" in server.models


def test_a_password_belongs_in_the_environment():
    with pytest.raises(baft.UsageError, match="OLLAMA_HOST") as caught:
        OllamaExporter("http://me:secret@host", {})
    assert "secret" not in str(caught.value)


def test_the_fake_takes_what_ollamas_own_client_sends(model):
    with FakeOllama(version="0.33.0") as server, ollama.Client(server.url) as client:
        files = {name: client.create_blob(model / name) for name in ("config.json",)}
        assert files["config.json"] == sha256(FILES["config.json"])
        done = client.create("own", files=files, template="{{ .Prompt }}", quantize="q8_0")
        assert done.status == "success"
        statuses = [step.status for step in client.create("own", files=files, stream=True)]
        assert statuses[-2:] == ["writing manifest", "success"]
        assert client.show("own").details.quantization_level == "F16"


def test_the_fake_refuses_what_ollama_refuses(model):
    with FakeOllama() as server, ollama.Client(server.url) as client:
        digest = sha256(b"meant")
        with pytest.raises(ollama.ResponseError, match="digest mismatch"):
            client._request_raw("POST", f"/api/blobs/{digest}", content=b"other")
        assert server.store.blobs == {}
        with pytest.raises(ollama.ResponseError, match="invalid digest"):
            client._request_raw("POST", "/api/blobs/sha256:short", content=b"x")
        for given, why in (
            ({"files": {"a.gguf": digest}}, "blob not found for a.gguf"),
            ({}, "neither 'from' or 'files'"),
            ({"adapters": {"a": digest}}, "no longer supported"),
        ):
            with pytest.raises(ollama.ResponseError, match=why) as caught:
                client.create("own", **given)
            assert caught.value.status_code == 400
        known = client.create_blob(model / "config.json")
        with pytest.raises(ollama.ResponseError, match="template error"):
            client.create("own", files={"config.json": known}, template="{{ range .Messages }}")
        with pytest.raises(ollama.ResponseError, match="invalid model name"):
            client.create("a b", files={"config.json": known})
