from __future__ import annotations

import asyncio
import json
import shutil
import time

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

import baft
from baft.testing import make_tiny_mistral
from baft_lora import baft_recognise_path, loading, sources
from baft_lora.backend import LocalBackend
from baft_lora.rendering import prompt_ids
from baft_lora.sampling import Draw, _pick, decode

CONCEPTS = ("a bakery", "a map of quiet streets for cyclists", "x", "tides and boats " * 4)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


def make_adapter(base, path, *, seed, base_name=None, modules=("q_proj", "v_proj")):
    torch.manual_seed(seed)
    model = loading.load_weights(base, dtype="float32", device="cpu")
    config = LoraConfig(r=4, target_modules=list(modules), init_lora_weights=False)
    config.base_model_name_or_path = base_name or str(base)
    with loading.quiet():
        get_peft_model(model, config).save_pretrained(path, save_embedding_layers=False)
    return path


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    first = make_adapter(base, folder / "first", seed=1)
    second = make_adapter(base, folder / "second", seed=2, modules=("o_proj", "down_proj"))
    return first, second


def context(**options):
    def open_spec(spec):
        raise AssertionError(spec)

    return baft.Context(open=open_spec, device="cpu", **options)


def hf(path, **options):
    return LocalBackend.open_model(str(path), context(**options))


def lora(target, **options):
    return LocalBackend.open_adapter(str(target), context(**options))


def prompts(concepts=CONCEPTS):
    return [
        baft.Prompt(
            example_id=str(number),
            inputs={"concept": concept},
            messages=(baft.Message(role="user", content=f"Write about: {concept}"),),
        )
        for number, concept in enumerate(concepts)
    ]


def answer(backend, asked=None, **decoding):
    decoding = baft.Decoding(**({"max_tokens": 24} | decoding))
    return asyncio.run(backend.generate(asked or prompts(), decoding))


def texts(backend, asked=None, **decoding):
    return [generation.text for generation in answer(backend, asked, **decoding)]


@pytest.mark.parametrize("temperature", [0, 0.7])
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(base, temperature):
    backend = hf(base)
    together = texts(backend, temperature=temperature)
    alone = [texts(backend, [prompt], temperature=temperature)[0] for prompt in prompts()]
    assert together == alone
    assert len(set(together)) == len(CONCEPTS)
    reverse = texts(backend, prompts()[::-1], temperature=temperature)
    assert reverse == together[::-1]


def test_decoding_equals_transformers_own(base):
    backend = hf(base)
    model = loading.load_weights(base, dtype="float32", device="cpu")
    ids = prompt_ids(backend._tokenizer, prompts()[1].messages)
    with loading.quiet():
        output = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=24,
            do_sample=False,
            pad_token_id=3,
        )
    expected = backend._tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)
    assert texts(backend, temperature=0)[1] == expected


def test_the_seed_decides_the_draws(base):
    backend = hf(base)
    assert texts(backend, seed=1) == texts(hf(base), seed=1)
    assert texts(backend, seed=1) != texts(backend, seed=2)


def test_draws_follow_the_softmax(base):
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    drawn = torch.tensor(
        [_pick(logits, [Draw(seed, [1, 2])], temperature=1.0).item() for seed in range(4000)]
    )
    shares = torch.bincount(drawn, minlength=4) / 4000
    assert torch.allclose(shares, logits.exp()[0], atol=0.03)


def test_an_answer_without_an_end_token_was_cut_off(base):
    generations = answer(hf(base), temperature=0, max_tokens=5)
    assert {g.finish_reason for g in generations} == {"length"}
    assert {g.completion_tokens for g in generations} == {5}
    assert all(g.latency_s > 0 for g in generations)
    assert [g.prompt_tokens for g in generations] == [
        len(f"Write about: {c}") + 3 for c in CONCEPTS
    ]


def test_every_end_token_of_the_model_ends_an_answer(base, tmp_path):
    model = loading.load_weights(base, dtype="float32", device="cpu")
    tokenizer = loading.load_tokenizer(base)
    ids = [prompt_ids(tokenizer, prompt.messages) for prompt in prompts()]
    whole = decode(model, ids, temperature=0, seed=0, limits=[24] * 4, stop_ids={2})
    end = whole[0][3]
    copy = shutil.copytree(base, tmp_path / "copy")
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, end]}))
    backend = hf(copy)
    for answered, before in zip(answer(backend, temperature=0), whole, strict=True):
        length = before.index(end) + 1 if end in before else 24  # rows that left changed no other
        assert answered.completion_tokens == length
        assert answered.finish_reason == ("stop" if end in before else "length")
        assert answered.text == tokenizer.decode(before[:length], skip_special_tokens=True)
    assert backend.fingerprint() != hf(base).fingerprint()


def test_sampling_defaults_of_the_model_do_not_leak_in(base, tmp_path):
    copy = shutil.copytree(base, tmp_path / "copy")
    defaults = {"eos_token_id": 2, "do_sample": True, "top_k": 1, "repetition_penalty": 9.0}
    (copy / "generation_config.json").write_text(json.dumps(defaults))
    assert texts(hf(copy)) == texts(hf(base))


def test_arms_share_one_base_and_do_not_change_one_another(base, adapters, tmp_path):
    alone = [
        texts(hf(base), temperature=0),
        texts(lora(adapters[0]), temperature=0),
        texts(lora(adapters[1]), temperature=0),
    ]
    assert len({tuple(arm) for arm in alone}) == 3
    shared = {}
    twin = shutil.copytree(base, tmp_path / "twin")
    arms = [
        hf(base, shared=shared),
        lora(adapters[0], shared=shared),
        lora(f"{adapters[1]}?base={twin}", shared=shared),
    ]
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 1)):
        for arm in order:
            assert texts(arms[arm], temperature=0) == alone[arm]
    assert sum("weights" in key for key in shared) == 1
    for arm in arms:
        asyncio.run(arm.close())
    other = hf(make_tiny_mistral(tmp_path / "other", num_hidden_layers=1), shared=shared)
    texts(other)
    assert sum("weights" in key for key in shared) == 1  # what nobody uses made room


def test_fingerprints_are_of_content_not_of_names(base, adapters, tmp_path):
    twin = shutil.copytree(base, tmp_path / "twin")
    moved = shutil.copytree(adapters[0], tmp_path / "moved")
    config = json.loads((moved / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "../twin"
    (moved / "adapter_config.json").write_text(json.dumps(config))
    assert hf(twin).fingerprint() == hf(base).fingerprint()
    assert lora(moved).fingerprint() == lora(adapters[0]).fingerprint()
    known = {hf(base).fingerprint(), *(lora(a).fingerprint() for a in adapters)}
    assert len(known) == 3
    tokenizer = json.loads((twin / "tokenizer_config.json").read_text())
    (twin / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"extra": 1}))
    assert hf(twin).fingerprint() not in known


def test_a_base_is_found_beside_the_adapter(base, adapters, tmp_path):
    shutil.copytree(base, tmp_path / "models" / "pocket")
    adapter = shutil.copytree(adapters[0], tmp_path / "finetuning" / "mine")
    for name in ("../../models/pocket", "models/pocket"):
        config = json.loads((adapter / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = name
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        assert lora(adapter).describe()["base"] == name


def test_an_absent_base_is_named_with_the_ways_out(base, adapters, tmp_path):
    adapter = shutil.copytree(adapters[0], tmp_path / "mine")
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "mistralai/Mistral-7B-Instruct-v0.1-absent"
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(baft.DataError) as caught:
        lora(adapter)
    assert "mistralai/Mistral-7B-Instruct-v0.1-absent" in caught.value.message
    assert f"lora:{adapter}?base=FOLDER" in caught.value.hint
    assert "hf download" in caught.value.hint
    assert lora(f"{adapter}?base={base}").describe()["base"] == str(base)


def test_an_adapter_of_another_shape_is_refused(adapters, tmp_path):
    deeper = make_tiny_mistral(tmp_path / "deeper", num_hidden_layers=3)
    wider = make_tiny_mistral(tmp_path / "wider", hidden_size=64)
    for other in (deeper, wider):
        with pytest.raises(baft.BackendError, match="does not fit") as caught:
            texts(lora(f"{adapters[0]}?base={other}"))
        assert caught.value.gone


def test_pickled_weights_are_refused(base, adapters, tmp_path):
    copy = shutil.copytree(base, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert baft_recognise_path(copy) == f"hf:{copy}"
    with pytest.raises(baft.DataError, match="no safetensors weights") as caught:
        hf(copy)
    assert "pytorch_model.bin is a pickle" in caught.value.hint
    adapter = shutil.copytree(adapters[0], tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(baft.DataError, match=r"no adapter_model\.safetensors"):
        lora(adapter)


@pytest.mark.parametrize("damage", ["cut", "index", "json"])
def test_a_damaged_copy_is_an_error_that_says_so(base, tmp_path, damage):
    copy = shutil.copytree(base, tmp_path / "copy")
    if damage == "cut":
        whole = (copy / "model.safetensors").read_bytes()
        (copy / "model.safetensors").write_bytes(whole[:1000])
    elif damage == "index":
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
        (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        (copy / "config.json").write_text("{")
    with pytest.raises(baft.DataError):
        hf(copy)


def test_a_model_with_its_own_code_is_not_run(base, tmp_path):
    copy = shutil.copytree(base, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "stranger", "auto_map": {"AutoConfig": "evil.Config"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(baft.DataError, match="cannot read"):
        hf(copy)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "a/b/c", "no-such/model-id"])
def test_a_model_that_is_not_there_is_named(name):
    with pytest.raises(baft.DataError, match=name):
        hf(name)


def test_an_unknown_option_of_a_spec_is_refused(adapters):
    with pytest.raises(baft.UsageError, match="bse"):
        lora(f"{adapters[0]}?bse=x")


def test_paths_are_recognised_by_what_lies_in_them(base, adapters, tmp_path):
    assert baft_recognise_path(base) == f"hf:{base}"
    assert baft_recognise_path(adapters[0]) == f"lora:{adapters[0]}"
    assert baft_recognise_path(tmp_path) is None
    assert baft_recognise_path(base / "config.json") is None


def test_max_tokens_is_clipped_to_the_context(base):
    asked = prompts(["y" * 480])
    (generation,) = answer(hf(base), asked, temperature=0, max_tokens=100)
    assert generation.prompt_tokens + generation.completion_tokens == 512
    assert "context of 512 tokens" in generation.notes[0]


def test_a_prompt_beyond_the_context_is_an_error_of_that_prompt(base):
    with pytest.raises(baft.BackendError, match=r"example '1' has \d+ tokens") as caught:
        answer(hf(base), prompts(["short", "y" * 600]))
    assert not caught.value.retryable
    assert not caught.value.gone


def test_a_model_without_a_template_gets_plain_text_and_says_so(tmp_path):
    base = make_tiny_mistral(tmp_path / "plain", template="")
    backend = hf(base)
    (generation, *_) = answer(backend, temperature=0)
    assert "no chat template" in generation.notes[0]
    assert backend.describe()["notes"] == list(generation.notes)


def test_a_prompt_has_one_begin_token(base):
    tokenizer = loading.load_tokenizer(base)
    for template in (tokenizer.chat_template, "{{ bos_token }}" + tokenizer.chat_template):
        tokenizer.chat_template = template
        ids = prompt_ids(tokenizer, prompts()[0].messages)
        assert ids.count(tokenizer.bos_token_id) == 1


def test_the_hash_of_a_prompt_is_of_its_tokens(base, tmp_path):
    hashes = [generation.prompt_sha256 for generation in answer(hf(base), temperature=0)]
    tokenizer = loading.load_tokenizer(base)
    assert hashes == [baft.digest(prompt_ids(tokenizer, p.messages)) for p in prompts()]
    other = shutil.copytree(base, tmp_path / "other")
    tokenizer.chat_template += " "
    tokenizer.save_pretrained(other)
    assert not {g.prompt_sha256 for g in answer(hf(other), temperature=0)} & set(hashes)


def test_a_template_without_system_role_gets_it_before_the_user_turn(base):
    tokenizer = loading.load_tokenizer(base)
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        + tokenizer.chat_template
    )
    system = baft.Message(role="system", content="Be brief.")
    user = baft.Message(role="user", content="Why?")
    joined = baft.Message(role="user", content="Be brief.\n\nWhy?")
    assert prompt_ids(tokenizer, [system, user]) == prompt_ids(tokenizer, [joined])


def test_the_adapters_template_wins_and_the_difference_is_noted(base, adapters, tmp_path):
    adapter = shutil.copytree(adapters[0], tmp_path / "mine")
    plain = lora(adapter)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, adapter / name)
    assert lora(adapter).describe()["notes"] == []  # without a template of its own: the base's
    assert lora(adapter).describe()["template_sha256"] == plain.describe()["template_sha256"]
    template = (base / "chat_template.jinja").read_text()
    (adapter / "chat_template.jinja").write_text(f"{template} ")
    changed = lora(adapter)
    assert changed.describe()["notes"] == ["The adapter brings its own chat template."]
    assert changed.fingerprint() != plain.fingerprint()


def test_bfloat16_is_for_big_models_and_devices_that_are_named():
    assert loading.choose_dtype("cpu", 5_000_000) == "float32"
    assert loading.choose_dtype("cpu", 7_000_000_000) == "bfloat16"
    assert loading.choose_dtype("cuda", 5_000_000) == "bfloat16"
    with pytest.raises(baft.UsageError, match="tpu"):
        loading.choose_device("tpu")


def test_parameters_are_counted_from_headers(tmp_path):
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, tmp_path / "model.safetensors")
    assert sources.parameter_count([tmp_path / "model.safetensors"]) == 17


def test_the_description_is_json_and_says_what_runs(base, adapters):
    told = json.loads(json.dumps(lora(adapters[0]).describe()))
    assert told["provider"] == "huggingface_local"
    assert told["adapter"] == str(adapters[0])
    assert (told["dtype"], told["device"], told["context"]) == ("float32", "cpu", 512)
    assert told["versions"].keys() >= {"torch", "transformers", "peft", "tokenizers"}


def test_a_cancelled_call_stops_working(base):
    async def cancel():
        backend = hf(base)
        decoding = baft.Decoding(temperature=0, max_tokens=1000)
        await backend.generate(prompts(), baft.Decoding(max_tokens=1))  # loads the weights
        many = prompts(["x"] * 2000)  # seconds of work
        call = asyncio.create_task(backend.generate(many, decoding))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        started = time.monotonic()
        await backend.generate(prompts(["x"]), baft.Decoding(max_tokens=1))  # waits for the lock
        return time.monotonic() - started

    assert asyncio.run(cancel()) < 0.5


def test_an_adapter_tells_of_the_training_that_made_it(tmp_path):
    from baft_lora.sources import MOST_STEPS, training_of

    assert training_of(tmp_path) == {}
    losses = [{"epoch": 1.0, "train_loss": 0.5, "val_loss": 0.4}]
    info = {"train_sha256": "abc", "losses": losses, "step_losses": [1] * 1000, "options": {}}
    (tmp_path / "training_info.json").write_text(json.dumps(info), encoding="utf-8")
    told = training_of(tmp_path)
    steps = told.pop("step_losses")
    assert told == {"train_sha256": "abc", "losses": losses}
    assert steps == [1.0] * 334
    assert len(steps) <= MOST_STEPS
    for broken in ("{", "[1]"):
        (tmp_path / "training_info.json").write_text(broken, encoding="utf-8")
        assert "training_info.json" in training_of(tmp_path)["problem"]
