from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import baft
from baft.testing import make_tiny_mistral
from baft_lora import attention, loading, packing, preflight
from baft_lora.beginning import Beginning, begin
from baft_lora.lessons import Lesson, lessons
from baft_lora.options import Options
from baft_lora.run import IGNORED, collate
from baft_lora.trainer import LoraTrainer

from .echo import TRAIN, VAL, Echo

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
}


def lesson(name, *ids, prompt):
    return Lesson(example_id=name, ids=ids, prompt_tokens=prompt)


LESSONS = [
    lesson("a", 1, 5, 6, 7, 20, 21, 22, 2, prompt=5),
    lesson("b", 1, 5, 6, 7, 30, 31, 2, prompt=4),
    lesson("c", 1, 5, 6, 7, 20, 40, 41, 42, 43, 2, prompt=6),
]
FULL = [lesson(row.example_id, *row.ids, prompt=0) for row in LESSONS]
APART = [lesson("d", 9, 10, 11, 2, prompt=2), lesson("e", 12, 13, 14, 15, 2, prompt=3)]


def make(kind="mistral", targets=("q_proj", "k_proj", "v_proj", "o_proj"), **sizes):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SHAPE, **sizes)
    model = loading.adapt(
        AutoModelForCausalLM.from_config(config),
        Options(base_model="", lora_dropout=0.0, target_modules=targets),
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero at first, and then lora_A would have no gradient
            torch.nn.init.normal_(weight, std=0.1)
    return model


def learn(model, loss):
    model.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def plainly(model, rows):
    """Loss and gradients as transformers' Trainer has them, each example by itself."""
    batches = [collate([row]) for row in rows]
    count = sum((batch["labels"][:, 1:] != IGNORED).sum() for batch in batches)
    loss = sum(
        model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            labels=batch["labels"],
            num_items_in_batch=count,
        ).loss
        for batch in batches
    )
    return loss.item(), learn(model, loss)


def packed(model, rows, budget=10_000):
    packing.prepare(model.get_base_model())
    made = [packing.pack(part) for part in packing.packs([[row] for row in rows], budget)]
    found = sum(packing.losses(model, one, torch.device("cpu")).sum() for one in made)
    loss = found / sum(sum(one.weights) for one in made)
    return loss.item(), learn(model, loss)


@pytest.mark.parametrize("kind", sorted(packing.MODELS))
@pytest.mark.parametrize("rows", [LESSONS, FULL, APART, [*LESSONS, *APART], LESSONS[:1]])
def test_a_pack_has_the_loss_and_the_gradients_of_its_examples(kind, rows):
    model = make(kind)
    loss, gradients = plainly(model, rows)
    again, found = packed(model, rows)
    assert again == pytest.approx(loss, rel=1e-5)
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 1e-6
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("budget", [1, 12, 17])
def test_packs_of_any_size_come_to_the_same(budget):
    model = make()
    loss, gradients = plainly(model, LESSONS)
    again, found = packed(model, LESSONS, budget)
    assert again == pytest.approx(loss, rel=1e-5)
    assert all(torch.allclose(found[n], g, rtol=1e-4, atol=1e-6) for n, g in gradients.items())


def in_steps(model, parts, least=1):
    """Loss and gradients of a step's packs, one after another behind their beginning."""
    packing.prepare(model.get_base_model())
    model.zero_grad()
    first = begin(parts, least)
    count = sum(len(row.ids) - row.prompt_tokens for part in parts for row in part)
    total = 0.0
    for part in parts:
        one = packing.pack(part, len(first.ids) if first else 0)
        loss = packing.losses(model, one, torch.device("cpu"), first).sum() / count
        loss.backward()
        total += loss.item()
    return total, {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("kind", sorted(packing.MODELS))
@pytest.mark.parametrize("targets", [("q_proj", "k_proj", "v_proj", "o_proj"), ("o_proj",)])
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("quick", [False, True])
def test_a_beginning_read_once_for_all_packs_has_the_same_gradients(
    kind, targets, recompute, quick, monkeypatch
):
    monkeypatch.setattr(attention, "SMALL", 1024 if quick else 0)
    model = make(kind, targets)
    loss, gradients = plainly(model, LESSONS)
    if recompute:
        model.train()
        model.get_base_model().activation_checkpointing_enable()
    read = []
    model.get_base_model().register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    again, found = in_steps(model, [LESSONS[:2], LESSONS[2:]])
    assert read == [3, 5 + 4, 7]  # the last token that all share predicts an answer
    assert again == pytest.approx(loss, rel=1e-5)
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 1e-6
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6), name


def test_a_beginning_is_read_apart_only_where_that_saves_something():
    assert begin([LESSONS[:2], LESSONS[2:]], least=3).ids == (1, 5, 6)
    assert begin([LESSONS[:2], LESSONS[2:]], least=4) is None
    assert begin([LESSONS], least=1) is None
    assert begin([LESSONS[:1], APART], least=1) is None
    assert begin([FULL[:2], FULL[2:]], least=1) is None


def test_activations_that_are_computed_again_change_nothing():
    model = make()
    loss, gradients = packed(model, LESSONS)
    model.train()
    model.get_base_model().activation_checkpointing_enable()
    again, found = packed(model, LESSONS)
    assert again == pytest.approx(loss, rel=1e-6)
    assert all(torch.allclose(found[n], g, rtol=1e-5, atol=1e-7) for n, g in gradients.items())


def test_in_bf16_a_pack_is_as_near_as_bf16_is():
    model = make()
    exact, _ = plainly(model, LESSONS)
    model.get_base_model().to(torch.bfloat16)
    loss, _ = packed(model, LESSONS)
    assert loss == pytest.approx(exact, rel=0.02)


def test_what_examples_begin_with_is_there_once():
    one = packing.pack(LESSONS)
    assert one.ids[:4] == (1, 5, 6, 7)
    assert len(one.ids) == 4 + 4 + 3 + 6 == packing.packed_tokens(LESSONS)
    assert len(one.targets) == 3 + 3 + 4


def test_a_shared_prediction_counts_for_each_example_that_learns_it():
    one = packing.pack(FULL)
    assert sum(one.weights) == sum(len(row.ids) - 1 for row in FULL)
    assert one.weights[:3] == (3.0, 3.0, 3.0)
    assert one.owners[0] == ("a", "b", "c")


def test_examples_of_which_nothing_is_learnt_take_no_room():
    filler = lesson("x", 1, 5, prompt=2)
    assert packing.pack([LESSONS[0], filler]).ids == LESSONS[0].ids
    model = make()
    packing.prepare(model.get_base_model())
    nothing = packing.losses(model, packing.pack([filler]), torch.device("cpu")).sum()
    assert nothing.item() == 0
    assert all(not gradient.any() for gradient in learn(model, nothing).values())


def test_equal_examples_are_both_learnt():
    twice = packing.pack([LESSONS[0], LESSONS[0]])
    assert sum(twice.weights) == 2 * 3


def test_batches_are_put_together_up_to_the_budget():
    batches = [[row] for row in LESSONS]
    assert [len(part) for part in packing.packs(batches, 17)] == [3]
    assert [len(part) for part in packing.packs(batches, 16)] == [2, 1]
    assert [len(part) for part in packing.packs(batches, 1)] == [1, 1, 1]


def test_models_that_cannot_read_packs_say_why():
    config = AutoConfig.for_model("mistral", **SHAPE, sliding_window=16)
    assert packing.why_not(config, 16) is None
    assert "window of 16" in packing.why_not(config, 17)
    assert "gpt2" in packing.why_not(AutoConfig.for_model("gpt2"), 5)
    assert packing.why_not(AutoConfig.for_model("qwen2", **SHAPE), 99_999) is None


def test_a_loss_that_is_not_finite_names_its_examples():
    one = packing.pack(LESSONS)
    found = torch.zeros(len(one.targets))
    assert one.broken(found) == []
    found[4] = float("nan")
    assert one.broken(found) == ["b"]


def test_training_by_packs_ends_like_training_by_single_examples(tmp_path, monkeypatch):
    base = make_tiny_mistral(tmp_path / "tiny")
    asked = {"base_model": str(base), "device": "cpu", "lr": 1e-2, "lora_dropout": 0.0}

    def train(name, **options):
        steps = []
        info = LoraTrainer().train(
            Echo(), TRAIN, VAL, tmp_path / name, {**asked, **options}, steps.append
        )
        return info, " ".join(step.get("message", "") for step in steps)

    packs, said = train("packs", grad_accum=4)
    assert "computed once" in said
    pairs, _ = train("pairs", grad_accum=2, batch_size=2)
    monkeypatch.setattr(packing, "MODELS", frozenset())
    plain, said = train("plain", grad_accum=4)
    assert "computed by itself: not tested with models of type mistral" in said
    assert plain["packing"] != packs["packing"]
    for info in (packs, pairs):
        assert info["step_losses"] == pytest.approx(plain["step_losses"], rel=1e-4)
    assert packs["best_val_loss"] == pytest.approx(plain["best_val_loss"], rel=1e-4)
    assert packs["steps"] == plain["steps"] == 6


class Long(Echo):
    """Explains itself first."""

    def prompt(self, example):
        told = super().prompt(example)
        (message,) = told.messages
        longer = dataclasses.replace(message, content=f"{'Listen. ' * 40}{message.content}")
        return dataclasses.replace(told, messages=(longer,))


def test_training_by_a_beginning_ends_like_training_by_single_examples(tmp_path, monkeypatch):
    base = make_tiny_mistral(tmp_path / "tiny")
    asked = {"base_model": str(base), "device": "cpu", "lr": 1e-2, "lora_dropout": 0.0}
    read = []
    inner = Beginning._read_by
    monkeypatch.setattr(
        Beginning, "_read_by", lambda self, *args: (read.append(len(self.ids)), inner(self, *args))
    )

    def train(name):
        options = {**asked, "grad_accum": 4}
        return LoraTrainer().train(Long(), TRAIN, VAL, tmp_path / name, options, lambda step: None)

    whole = train("whole")
    assert not read  # one pack by step
    monkeypatch.setitem(preflight.PACKS, "cpu", 1)
    apart = train("apart")
    assert len(read) == apart["steps"] == 6  # two of an epoch have 4 and 2 examples
    assert min(read) > 40
    assert apart["step_losses"] == pytest.approx(whole["step_losses"], rel=1e-4)
    assert apart["best_val_loss"] == pytest.approx(whole["best_val_loss"], rel=1e-4)
    assert apart["train_tokens"] == whole["train_tokens"]


def test_the_loss_of_all_tokens_learns_the_prompt_too(tmp_path):
    base = make_tiny_mistral(tmp_path / "tiny")
    tokenizer = loading.load_tokenizer(base)
    answer, full = (
        lessons(Echo(), tokenizer, TRAIN, Options(base_model="", loss=loss))
        for loss in ("answer", "full")
    )
    assert [row.ids for row in answer] == [row.ids for row in full]
    assert {row.prompt_tokens for row in full} == {0}
    assert all(row.prompt_tokens > 0 for row in answer)
    assert (collate(full[:1])["labels"] == torch.tensor(full[0].ids)).all()
    with pytest.raises(baft.UsageError, match="no loss 'prompt'"):
        Options.read({"base_model": "x", "loss": "prompt"})
