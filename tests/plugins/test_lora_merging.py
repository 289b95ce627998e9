"""Merging an adapter into its base, and the pieces of a chat template."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from peft import LoraConfig, get_peft_model

import baft
from baft.testing.tiny_mistral import TEMPLATE, make_tiny_mistral
from baft_lora import loading, merging
from baft_lora.backend import LocalBackend

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "artifacts" / "finetuning" / "pocket-ba-lora"
IDS = [[1, 4, 70, 80, 90, 5], [1, 4, *range(40, 90), 5]]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def context():
    def open_spec(spec):
        raise AssertionError(spec)

    return baft.Context(open=open_spec, device="cpu")


def quietly(step):
    assert step


def make_adapter(base, path, **options):
    torch.manual_seed(1)
    model = loading.load_weights(base, dtype="float32", device="cpu")
    given = {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
    config = LoraConfig(**(given | options))
    config.base_model_name_or_path = str(base)
    with loading.quiet():
        get_peft_model(model, config).save_pretrained(path, save_embedding_layers=False)
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    return make_adapter(base, tmp_path_factory.mktemp("adapters") / "one")


@pytest.fixture
def backend(adapter):
    return LocalBackend.open_adapter(str(adapter), context())


def logits(model, ids):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits


def with_adapter(base, adapter, dtype="float32"):
    return loading.put_on(loading.load_weights(base, dtype=dtype, device="cpu"), adapter, "a")


def test_the_merged_model_has_the_adapters_logits(backend, base, adapter, tmp_path):
    info = backend.merge(tmp_path / "out", "fp32", quietly)
    together = with_adapter(base, adapter)
    merged = loading.load_weights(tmp_path / "out", dtype="float32", device="cpu")
    plain = loading.load_weights(base, dtype="float32", device="cpu")
    for ids in IDS:
        wanted = logits(together, ids)
        assert torch.allclose(logits(merged, ids), wanted, atol=1e-4)
        assert not torch.allclose(logits(plain, ids), wanted, atol=1e-1)
    assert info["largest_difference"] < 1e-4


def test_the_pocket_adapter_answers_the_same_when_merged(tmp_path):
    backend = LocalBackend.open_adapter(str(POCKET), context())
    backend.merge(tmp_path / "out", "auto", quietly)
    merged = LocalBackend.open_model(str(tmp_path / "out"), context())
    prompt = baft.Prompt(
        example_id="1",
        inputs={},
        messages=(baft.Message(role="user", content="Concept: an app for a bakery"),),
    )
    decoding = baft.Decoding(temperature=0.0, max_tokens=40)
    answers = [asyncio.run(b.generate([prompt], decoding))[0].text for b in (backend, merged)]
    assert answers[0] == answers[1]
    assert answers[0]


def test_a_base_without_an_adapter_is_written_as_it_is(base, tmp_path):
    backend = LocalBackend.open_model(str(base), context())
    assert isinstance(backend, baft.Mergeable)
    assert backend.merge(tmp_path / "out", "fp32", quietly)["largest_difference"] == 0


def test_the_folder_is_whole_and_says_where_it_is_from(backend, adapter, tmp_path):
    out = tmp_path / "deep" / "out"
    info = backend.merge(out, "bf16", quietly)
    assert json.loads((out / "export_info.json").read_text()) == info
    assert info["source"] == f"lora:{adapter}"
    assert info["fingerprint"] == backend.fingerprint()
    assert info["dtype"] == "bfloat16"
    names = {path.name for path in out.iterdir()}
    assert names == {*info["files"], "export_info.json"}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert json.loads((out / "config.json").read_text())["rope_theta"] == 10000.0
    assert not out.with_name("out.part").exists()


def test_a_merged_model_is_not_merged_again(backend, tmp_path):
    backend.merge(tmp_path / "out", "fp32", quietly)
    before = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    said = []
    backend.merge(tmp_path / "out", "fp32", said.append)
    assert "already" in said[0]["message"]
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_folder_with_another_model_is_left_alone(backend, tmp_path, dtype):
    backend.merge(tmp_path / "out", "fp32", quietly)
    weights = tmp_path / "out" / "model.safetensors"
    if dtype == "fp32":
        weights.write_bytes(b"damaged")
    before = weights.read_bytes()
    with pytest.raises(baft.DataError, match="not empty"):
        backend.merge(tmp_path / "out", dtype, quietly)
    assert weights.read_bytes() == before


def test_nothing_is_merged_into_quantized_weights(base, adapter, tmp_path):
    four_bit = shutil.copytree(base, tmp_path / "four-bit")
    config = json.loads((four_bit / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (four_bit / "config.json").write_text(json.dumps(config))
    backend = LocalBackend.open_adapter(f"{adapter}?base={four_bit}", context())
    with pytest.raises(baft.DataError, match="quantized \\(bitsandbytes\\)") as caught:
        backend.merge(tmp_path / "out", "auto", quietly)
    assert "?base=FOLDER" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_an_adapter_on_tied_embeddings_is_refused_rather_than_changed(base, tmp_path):
    adapter = make_adapter(base, tmp_path / "tied", target_modules=["lm_head"])
    backend = LocalBackend.open_adapter(str(adapter), context())
    with pytest.raises(baft.DataError, match="does not answer like the adapter"):
        backend.merge(tmp_path / "out", "fp32", quietly)
    assert list(tmp_path.glob("out*")) == []


def test_a_full_disk_is_seen_before_anything_is_written(backend, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(merging.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(baft.DataError, match="GB free"):
        backend.merge(tmp_path / "out", "fp32", quietly)


def test_a_folder_that_cannot_be_written_is_an_error(backend, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(baft.DataError, match="could not be written"):
        backend.merge(tmp_path / "file" / "out", "fp32", quietly)


def test_an_unknown_number_format_is_refused(backend, tmp_path):
    with pytest.raises(baft.UsageError, match="no dtype 'int4'"):
        backend.merge(tmp_path / "out", "int4", quietly)


def form(tmp_path, template, **prompts):
    model = make_tiny_mistral(tmp_path / "model", template=template)
    return LocalBackend.open_model(str(model), context()).chat_form(list(prompts.values()))


def test_the_pieces_of_mistrals_template(tmp_path):
    found = form(tmp_path, TEMPLATE)
    assert found.user == ("[INST]", "[/INST]")
    assert found.begins == "<s>"
    assert found.stops[0] == "</s>"
    assert {"[INST]", "[/INST]"} <= set(found.stops)
    assert found.context == 512
    assert found.render("Hi") == "[INST]Hi[/INST]"


def test_the_pieces_of_a_template_with_a_system_role(tmp_path):
    found = form(tmp_path, CHATML)
    assert found.begins == ""
    assert found.render("Hi", "Be brief") == (
        "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_model_without_a_template_is_plain_text(tmp_path):
    found = form(tmp_path, "")
    assert found.render("Hi", "Be brief") == "Be brief\n\nHi"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ bos_token }}{{ messages[0].content | upper }}", "changes, repeats or drops"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "changes, repeats or drops"),
        ("{{ messages[0].content | replace('x', 'y') }}", "changes, repeats or drops"),
        ("nothing", "changes, repeats or drops"),
        ("{{ strftime_now('%d') }}" + TEMPLATE, "today's date"),
        (
            "{% if '漢' in messages[0].content %}!{% endif %}" + TEMPLATE,
            "'probe' would not be rendered",
        ),
    ],
)
def test_a_template_that_is_no_pieces_is_refused(tmp_path, template, why):
    with pytest.raises(baft.UsageError, match=why) as caught:
        form(tmp_path, template)
    assert "--to merged" in caught.value.hint


def test_real_prompts_are_checked_too(tmp_path):
    def prompt(*texts):
        roles = ("user", "assistant", "user")
        messages = zip(roles, texts, strict=False)
        return baft.Prompt(
            example_id="e7",
            inputs={},
            messages=tuple(baft.Message(role=r, content=c) for r, c in messages),
        )

    trims = TEMPLATE.replace("message.content }}[/", "message.content | trim }}[/")
    assert form(tmp_path, trims, real=prompt("Hi"))
    with pytest.raises(baft.UsageError, match="'e7' would not be rendered"):
        form(tmp_path, trims, real=prompt(" Hi "))
    with pytest.raises(baft.UsageError, match="'e7' is more than one user turn"):
        form(tmp_path, trims, real=prompt("Hi", "Yes?", "No"))


def test_a_model_that_names_no_end_is_refused(base):
    from baft_lora.chatform import chat_form

    with pytest.raises(baft.UsageError, match="no token that ends"):
        chat_form(loading.load_tokenizer(base), frozenset(), None)
