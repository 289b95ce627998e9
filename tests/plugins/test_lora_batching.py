"""Batches: as many rows as memory holds, and answers that do not depend on them."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import baft
from baft.executors.isolated import _answer_all
from baft.executors.worker import Worker
from baft.records import Limits
from baft.testing import make_tiny_mistral
from baft_lora import batching, loading, sampling
from baft_lora.rendering import prompt_ids

from .test_lora_backend import CONCEPTS, answer, hf, lora, make_adapter, prompts, texts

GREEDY = baft.Decoding(temperature=0.0, max_tokens=12)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def forwards(monkeypatch):
    """The shape (rows, tokens) of every forward pass."""
    shapes = []
    whole = sampling._forward

    def seen(model, ids, *rest):
        shapes.append(tuple(ids.shape))
        return whole(model, ids, *rest)

    monkeypatch.setattr(sampling, "_forward", seen)
    return shapes


def size(config, free, monkeypatch, **options):
    monkeypatch.setattr(batching, "free_memory", lambda device: free)
    given = {"parameters": 1000, "dtype": "float32", "device": "cpu", "context": 512}
    return batching.free_batch_size(config, **{**given, **options})


def test_the_batch_size_is_what_half_of_the_free_memory_holds(base, monkeypatch):
    config = loading.load_config(base)
    row = batching._cache_numbers(config) * 4 * 512
    assert size(config, 4000 + 2 * 5 * row, monkeypatch) == 5
    assert size(config, 4000 + 2 * 5 * row - 1, monkeypatch) == 4
    assert size(config, 2000 + 2 * 5 * row, monkeypatch, dtype="bfloat16") == 10
    assert size(config, 4000 + 2 * 5 * row, monkeypatch, context=1024) == 2
    assert size(config, 0, monkeypatch) == 1
    assert size(config, 1 << 60, monkeypatch) == 32


def test_a_batch_size_that_is_asked_for_is_taken(base):
    assert hf(base).batch_size == 32
    assert hf(base, batch_size=3).batch_size == 3


def test_what_all_prompts_begin_with_is_run_once(base, forwards):
    tokenizer = loading.load_tokenizer(base)
    model = loading.load_weights(base, dtype="float32", device="cpu")
    ids = [prompt_ids(tokenizer, prompt.messages) for prompt in prompts()]
    shared = sampling._shared_length(ids)
    assert shared > 5
    sampling.decode(model, ids, temperature=0, seed=0, limits=[1] * 4, stop_ids=())
    longest = max(map(len, ids))
    assert forwards == [(1, shared), (4, longest - shared)]


def test_finished_rows_leave_the_batch(base, forwards):
    model = loading.load_weights(base, dtype="float32", device="cpu")
    ids = [[1, 5, 6], [1, 7], [1, 8, 9, 10], [1, 11]]
    limits = [2, 4, 9, 9]
    answers = sampling.decode(model, ids, temperature=0, seed=0, limits=limits, stop_ids=())
    assert [len(tokens) for tokens in answers] == limits
    steps = [rows for rows, tokens in forwards if tokens == 1][-8:]
    assert steps == [4, 3, 3, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("temperature", [0, 0.7])
def test_in_float32_answers_are_the_same_for_every_batch_size(base, temperature):
    alone = [texts(hf(base), [one], temperature=temperature)[0] for one in prompts()]
    for n in (2, 3, 4):
        batches = [prompts()[i : i + n] for i in range(0, len(CONCEPTS), n)]
        backend = hf(base)
        found = [texts(backend, batch, temperature=temperature) for batch in batches]
        assert [text for part in found for text in part] == alone
    assert not [note for g in answer(hf(base)) for note in g.notes]


def test_in_bfloat16_the_report_tells_how_far_a_batch_moves_logits(base, monkeypatch):
    monkeypatch.setattr(loading, "SMALL", 0)
    backend = hf(base)
    (note,) = {note for g in answer(backend) for note in g.notes}
    assert note.startswith("In bfloat16 the logits of a prompt move by up to 0.0")
    assert "--deterministic" in note
    assert not answer(hf(base), prompts()[:1])[0].notes


class Pipe:
    """The parent's end: keeps what was sent."""

    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message)


def test_the_isolated_process_loads_a_base_once_for_all_its_arms(base, tmp_path, monkeypatch):
    loads = []
    load = loading.load_weights
    monkeypatch.setattr(
        loading, "load_weights", lambda path, **how: loads.append(path) or load(path, **how)
    )
    adapters = [make_adapter(base, tmp_path / name, seed=i) for i, name in enumerate("ab")]
    arms = [hf(base), *map(lora, adapters)]
    loads.clear()  # those that made the adapters
    alone = [[g.text for g in asyncio.run(arm.generate(prompts(), GREEDY))] for arm in arms]
    assert len(loads) == 3
    worker, pipe = Worker(), Pipe()
    surroundings = {"device": "cpu", "role": "ba", "blocked": (), "env": {}}
    for arm, expected in zip(arms, alone, strict=True):
        parcel = {
            "spec": arm.spec,
            "fingerprint": arm.fingerprint(),
            "decoding": GREEDY,
            "limits": Limits(),
            "surroundings": surroundings,
            "prompts": prompts(),
        }
        pipe.sent.clear()
        assert _answer_all(pipe, worker, parcel) == ("done", None)
        found = {g.example_id: g.text for _, outcome in pipe.sent for g in outcome.generations}
        assert [found[prompt.example_id] for prompt in prompts()] == expected
    assert len(loads) == 4
