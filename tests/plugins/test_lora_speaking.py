"""A local model tells its answer while it writes it."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import baft
from baft.testing import make_tiny_mistral
from baft_lora.backend import LocalBackend
from baft_lora.loading import load_tokenizer
from baft_lora.rendering import answer_text
from baft_lora.speaking import Speaker

TEXTS = (
    "title: A shop\ndescription: Sells tea.\n- {id: FR001}\n",
    "Té, 茶, ☕ and 👩‍🍳 with ½ — «ünïcode»",
    "  two blanks  \n\n\tand a tab ",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def tokenizer(base):
    return load_tokenizer(base)


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_are_the_text_and_hold_whole_characters(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    said = []
    speaker = Speaker(tokenizer, said.append, every_s=0)

    for token in ids:
        speaker(0, token)

    assert "".join(said) == answer_text(tokenizer, ids)
    assert len(said) > 5
    assert not any("\ufffd" in piece for piece in said)


def test_the_end_token_is_not_told(tokenizer):
    said = []
    speaker = Speaker(tokenizer, said.append, every_s=0)
    for token in (*tokenizer("tea", add_special_tokens=False).input_ids, tokenizer.eos_token_id):
        speaker(0, token)

    assert "".join(said) == "tea"


def test_a_streamed_answer_is_the_answer(base, monkeypatch):
    monkeypatch.setattr(Speaker.__init__, "__kwdefaults__", {"every_s": 0})
    context = baft.Context(open=lambda spec: None, device="cpu")
    backend = LocalBackend.open_model(str(base), context)
    message = baft.Message(role="user", content="a bakery")
    prompt = baft.Prompt(example_id="1", inputs={}, messages=(message,))
    decoding = baft.Decoding(temperature=0.7, max_tokens=40, seed=3)
    said = []

    async def both():
        whole = await backend.generate([prompt], decoding)
        return whole[0], await backend.stream(prompt, decoding, said.append)

    whole, streamed = asyncio.run(both())

    assert isinstance(backend, baft.Streaming)
    assert (streamed.text, streamed.finish_reason) == (whole.text, whole.finish_reason)
    assert streamed.text.startswith("".join(said))
    assert len(said) > 5
