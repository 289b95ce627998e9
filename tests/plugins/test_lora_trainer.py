from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import json
import shutil
from datetime import datetime, timedelta

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from safetensors.torch import load_file, save_file

import baft
from baft.testing import make_tiny_mistral
from baft_lora import loading, sources
from baft_lora.backend import LocalBackend
from baft_lora.lessons import lessons
from baft_lora.options import Options
from baft_lora.rendering import prompt_ids, template_sha256
from baft_lora.run import IGNORED, collate
from baft_lora.trainer import LoraTrainer

from .echo import TRAIN, VAL, Echo


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


def train(base, output, *, data=TRAIN, val=VAL, log=None, **options):
    options = {"base_model": str(base), "epochs": 2, "grad_accum": 2, "device": "cpu"} | options
    return LoraTrainer().train(Echo(), data, val, output, options, log or (lambda step: None))


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "adapter"
    steps = []
    info = train(base, output, log=steps.append, lr=1e-2)
    return output, info, steps


def test_the_prompt_learnt_is_the_prompt_asked(base):
    tokenizer = loading.load_tokenizer(base)
    made = lessons(Echo(), tokenizer, TRAIN, Options(base_model=""))
    for example, lesson in zip(TRAIN, made, strict=True):
        asked = prompt_ids(tokenizer, Echo().prompt(example).messages)
        assert list(lesson.ids[: lesson.prompt_tokens]) == asked
        assert lesson.ids.count(tokenizer.bos_token_id) == 1
        answer = lesson.ids[lesson.prompt_tokens :]
        assert tokenizer.decode(answer[:-1]) == Echo().target(example)
        assert answer[-1] == tokenizer.eos_token_id


def test_answer_and_end_token_are_learnt_and_nothing_else(base):
    tokenizer = loading.load_tokenizer(base)
    made = lessons(Echo(), tokenizer, TRAIN[:3], Options(base_model=""))
    batch = collate(made)
    for row, lesson in enumerate(made):
        learnt = batch["labels"][row] != IGNORED
        expected = lesson.ids[lesson.prompt_tokens :]
        assert tuple(batch["labels"][row][learnt].tolist()) == expected
        assert expected[-1] == tokenizer.eos_token_id
        assert batch["attention_mask"][row].sum() == len(lesson.ids)


def test_padding_with_the_end_token_changes_nothing(base, tmp_path):
    copy = shutil.copytree(base, tmp_path / "copy")
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": "</s>"}))
    made = [
        lessons(Echo(), loading.load_tokenizer(path), TRAIN, Options(base_model=""))
        for path in (base, copy)
    ]
    assert made[0] == made[1]


def test_training_lowers_the_loss_and_the_adapter_answers(base, trained):
    output, info, _ = trained
    assert info["losses"][-1]["train_loss"] < info["losses"][0]["train_loss"]
    assert info["best_val_loss"] == min(epoch["val_loss"] for epoch in info["losses"])
    context = baft.Context(open=lambda spec: None, device="cpu")
    backend = LocalBackend.open_adapter(str(output), context)
    prompts = [Echo().prompt(example) for example in VAL]
    answers = asyncio.run(backend.generate(prompts, baft.Decoding(max_tokens=8)))
    assert [answer.example_id for answer in answers] == ["seven", "eight"]
    assert backend.describe()["notes"] == []


def test_the_model_learns_to_stop(base, tmp_path):
    data = [
        baft.Example(id=str(n), inputs={"word": str(n)}, reference={"answer": "k"})
        for n in range(8)
    ]
    train(base, tmp_path / "out", data=data, val=[], epochs=30, lr=3e-2, lora_dropout=0.0)
    context = baft.Context(open=lambda spec: None, device="cpu")
    backend = LocalBackend.open_adapter(str(tmp_path / "out"), context)
    prompts = [Echo().prompt(example) for example in data]
    answers = asyncio.run(backend.generate(prompts, baft.Decoding(temperature=0, max_tokens=9)))
    assert {(answer.text, answer.finish_reason) for answer in answers} == {("k", "stop")}


def test_the_record_holds_what_was_asked_and_what_came_of_it(base, trained):
    output, info, _ = trained
    assert json.loads((output / "training_info.json").read_text()) == json.loads(json.dumps(info))
    planned = (
        "base_model train_dataset val_dataset train_examples val_examples epochs learning_rate "
        "batch_size grad_accum_steps effective_batch_size lora_r lora_alpha lora_dropout "
        "max_length seed train_limit val_limit max_steps quantization trainable_params "
        "total_params trainable_percentage"
    )
    assert set(planned.split()) <= info.keys()
    assert (info["train_examples"], info["val_examples"], info["steps"]) == (6, 2, 6)
    assert info["effective_batch_size"] == 2
    assert info["quantization"] == "fp32"
    assert info["finished"] is True
    assert info["is_smoke_run"] is False
    assert info["peak_memory_bytes"] > 0
    assert info["trainable_params"] == 2 * (4 * 8 * 64 - 2 * 8 * 16)  # k and v are 16 wide
    assert info["adapter_sha256"] == sources.adapter_digest(output)
    assert info["best_checkpoint"] in ("checkpoint-3", "checkpoint-6")
    assert info["role"] == "echo"
    assert len(list(output.glob("checkpoint-*"))) == 2
    assert not (output / "README.md").exists()
    assert (output / "chat_template.jinja").is_file()


def test_the_record_counts_what_was_learnt_and_with_what(base, trained):
    _, info, _ = trained
    tokenizer = loading.load_tokenizer(base)
    options = Options(base_model="")
    taught, held_out = (lessons(Echo(), tokenizer, data, options) for data in (TRAIN, VAL))
    assert info["train_tokens"] == sum(len(row.ids) for row in taught)
    assert info["val_tokens"] == sum(len(row.ids) for row in held_out)
    assert info["val_answer_tokens"] == sum(len(f"{e.id}! {e.id}!") + 1 for e in VAL)
    prompts = [prompt_ids(tokenizer, Echo().prompt(e).messages) for e in (*TRAIN, *VAL)]
    assert info["prompts_sha256"] == baft.digest(prompts)
    assert info["chat_template_sha256"] == template_sha256(tokenizer)
    assert (info["truncated"], info["truncated_examples"]) == (0, [])
    assert info["options"].keys() == {field.name for field in dataclasses.fields(Options)}
    libraries = {"baft", "torch", "transformers", "peft", "accelerate", "safetensors", "python"}
    assert info["versions"].keys() >= libraries
    assert info["hardware"]["cpu"]
    assert info["hardware"]["cores"] >= 1
    assert info["hardware"]["memory_bytes"] > 2**28
    assert info["wall_s"] > info["steps_s"] > 0
    began, ended = (datetime.fromisoformat(info[key]) for key in ("started", "ended"))
    assert timedelta(0) <= ended - began
    assert began.tzinfo is not None


def test_every_step_is_logged(trained):
    _, info, steps = trained
    losses = [step for step in steps if "loss" in step]
    assert [step["step"] for step in losses] == [1, 2, 3, 4, 5, 6]
    assert {step["total"] for step in steps if "message" not in step} == {6}
    assert all(step.keys() >= {"lr", "epoch", "tokens_per_s"} for step in losses)
    assert [step["val_loss"] for step in steps if "val_loss" in step] == [
        epoch["val_loss"] for epoch in info["losses"]
    ]


def test_the_learning_rate_rises_and_falls(base, tmp_path):
    steps = []
    train(base, tmp_path / "out", val=[], epochs=8, lr=1e-3, log=steps.append)
    rates = [step["lr"] for step in steps if "loss" in step]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == max(rates) == pytest.approx(1e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_run_that_goes_on_ends_like_an_unbroken_one(base, trained, tmp_path):
    output, _, _ = trained

    class Killed(Exception):
        pass

    def kill(step):
        if step.get("step") == 5:
            raise Killed

    with pytest.raises(Killed):
        train(base, tmp_path / "out", lr=1e-2, log=kill)
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    info = train(base, tmp_path / "out", lr=1e-2, resume=True)
    assert info["resumed_from"] == "checkpoint-3"
    assert len(info["step_losses"]) == 6
    weights, again = (
        load_file(path / "adapter_model.safetensors") for path in (output, tmp_path / "out")
    )
    assert weights.keys() == again.keys()
    assert all(weights[name].equal(again[name]) for name in weights)


def test_the_same_seed_gives_the_same_adapter(base, trained, tmp_path):
    _, info, _ = trained
    again = train(base, tmp_path / "again", lr=1e-2)
    assert again["adapter_sha256"] == info["adapter_sha256"]
    other = train(base, tmp_path / "other", lr=1e-2, seed=7)
    assert other["adapter_sha256"] != info["adapter_sha256"]


def test_going_on_without_a_checkpoint_begins(base, tmp_path):
    assert train(base, tmp_path / "out", resume=True, max_steps=1)["resumed_from"] is None


def test_a_run_is_not_overwritten_and_not_continued_differently(base, trained):
    output, _, _ = trained
    with pytest.raises(baft.UsageError, match="already holds a training run") as caught:
        train(base, output, lr=1e-2)
    assert "--resume" in caught.value.hint
    with pytest.raises(baft.UsageError, match=r"lr was 0\.01 and is 0\.02"):
        train(base, output, lr=2e-2, resume=True)


def test_limits_mark_a_smoke_run(base, tmp_path):
    info = train(base, tmp_path / "out", train_limit=3, val_limit=1, max_steps=1)
    assert (info["train_examples"], info["val_examples"], info["steps"]) == (3, 1, 1)
    assert info["is_smoke_run"] is True
    assert info["best_checkpoint"] == "checkpoint-1"


def test_training_stops_early_when_nothing_improves(base, tmp_path):
    info = train(base, tmp_path / "out", epochs=6, lr=0.9, early_stopping=1)
    assert info["steps"] < 18


def test_examples_too_long_are_refused_by_name(base, tmp_path):
    with pytest.raises(baft.DataError) as caught:
        train(base, tmp_path / "out", max_length=22)
    assert "3 of 6 examples are longer than 22 tokens (the longest has 26)" in caught.value.message
    assert "three, four, five" in caught.value.message
    assert "--max-length 26" in caught.value.hint
    info = train(base, tmp_path / "cut", max_length=22, truncate=True, max_steps=1, val=[])
    assert (info["truncated"], info["longest_example"]) == (3, 22)
    assert info["truncated_examples"] == ["three", "four", "five"]
    with pytest.raises(baft.DataError, match="nothing is left to learn"):
        train(base, tmp_path / "none", max_length=5, truncate=True)


def test_examples_without_a_reference_are_refused_by_name(base, tmp_path):
    data = [*TRAIN, baft.Example(id="bare", inputs={"word": "x"})]
    with pytest.raises(
        baft.DataError, match="1 of 7 examples have no reference to learn from: bare"
    ):
        train(base, tmp_path / "out", data=data)


def test_a_base_that_is_not_there_comes_with_the_way_to_it(tmp_path):
    with pytest.raises(baft.DataError, match="someone/absent") as caught:
        train("someone/absent", tmp_path / "out")
    assert "--base-model FOLDER" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_nothing_to_train_on_is_an_error(base, tmp_path):
    with pytest.raises(baft.DataError, match="no example"):
        train(base, tmp_path / "out", data=[])


def test_a_loss_that_is_not_finite_names_the_batch(tmp_path):
    base = make_tiny_mistral(tmp_path / "broken")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        baft.DataError,
        match=r"loss is nan at step 1, in the batch of (one|two|three|four|five|six)",
    ):
        train(base, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora_rank": 4}, "no option 'lora_rank'"),
        ({"quantization": "bnb5"}, "no quantization 'bnb5'"),
        ({"lr": 0.0}, "learning rate"),
        ({"target_modules": ["nope"]}, "no modules named nope"),
        ({"base_model": ""}, "base model"),
    ],
)
def test_options_that_cannot_be_are_refused(base, tmp_path, options, message):
    with pytest.raises(baft.UsageError, match=message):
        train(base, tmp_path / "out", **options)


def test_target_modules_may_be_written_with_commas():
    assert Options.read({"base_model": "x", "target_modules": "q_proj, v_proj"}).target_modules == (
        "q_proj",
        "v_proj",
    )


def test_four_bits_need_a_package_that_is_named(base, tmp_path):
    if importlib.util.find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(baft.UsageError, match="bitsandbytes") as caught:
        train(base, tmp_path / "out", quantization="bnb4")
    assert "pip install" in caught.value.hint


def test_a_base_in_the_same_project_is_named_by_a_relative_path(base, tmp_path):
    (tmp_path / "benchmarks").mkdir()
    shutil.copytree(base, tmp_path / "artifacts" / "models" / "tiny")
    output = tmp_path / "artifacts" / "finetuning" / "mine"
    train(tmp_path / "artifacts" / "models" / "tiny", output, max_steps=1, val=[])
    assert sources.adapter_config(output)["base_model_name_or_path"] == "../../models/tiny"
    elsewhere = tmp_path / "other" / "adapter"
    train(base, elsewhere, max_steps=1, val=[])
    assert sources.adapter_config(elsewhere)["base_model_name_or_path"] == str(base)
    moved = shutil.move(tmp_path / "artifacts", tmp_path / "moved")
    context = baft.Context(open=lambda spec: None, device="cpu")
    adapter = moved / "finetuning" / "mine"
    assert LocalBackend.open_adapter(str(adapter), context).describe()["base"] == (
        "../../models/tiny"
    )


def test_lengths_are_counted_as_training_counts_them(base):
    options = Options.read({"base_model": str(base), "max_length": 10_000})
    counted = LoraTrainer().token_counter(Echo(), str(base))
    taught = lessons(Echo(), loading.load_tokenizer(base), TRAIN, options)
    assert [counted(example) for example in TRAIN] == [len(lesson.ids) for lesson in taught]
    with pytest.raises(baft.DataError, match="does not exist"):
        LoraTrainer().token_counter(Echo(), "./nowhere")
