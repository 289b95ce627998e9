"""The generation cache: saves time, and never lets two different arms share an answer."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from dataclasses import replace

import pytest

from baft import DataError, Generation, Message, Prompt
from baft.records import ArmManifest, Decoding
from baft.store.cache import GenerationCache


@pytest.fixture
def cache(tmp_path):
    cache = GenerationCache.of_project(tmp_path)
    yield cache
    cache.close()


def arm(fingerprint="f" * 64, **config):
    return ArmManifest(name="a", spec="ollama:x", fingerprint=fingerprint, config=config)


def asked(text="Question", id_="e1", inputs=None, role="user"):
    return Prompt(
        example_id=id_, inputs=inputs or {"q": text}, messages=(Message(role=role, content=text),)
    )


def answered(id_="e1", text="Answer", **more):
    return Generation(example_id=id_, text=text, **more)


def kept(cache, prompt=None, generation=None, decoding=None, of=None):
    part = cache.of(of or arm())
    part.keep([prompt or asked()], decoding or Decoding(), [generation or answered()])
    part.flush()


def test_an_answer_comes_back_whole_for_the_same_question(cache):
    whole = answered(
        text="Ünï \ud800 \x00 text",
        fields={"title": "T", "n": [1, None]},
        finish_reason="length",
        prompt_tokens=3,
        completion_tokens=4,
        latency_s=0.25,
        sent=(Message(role="system", content="S"), Message(role="user", content="Q")),
        notes=("thinking removed",),
    )
    kept(cache, generation=whole)
    again = cache.of(arm()).find([asked(id_="another-id")], Decoding())
    assert again == [replace(whole, example_id="another-id")]


DIFFERENT = {
    "fingerprint": {"of": arm("e" * 64)},
    "sampling": {"of": arm(sampling="torch bf16")},
    "sampling below": {"of": arm(lm={"sampling": "torch bf16"})},
    "message": {"prompt": asked("Another question", inputs={"q": "Question"})},
    "speaker": {"prompt": asked(role="system")},
    "inputs": {"prompt": asked(inputs={"q": "Question", "hint": "h"})},
    "temperature": {"decoding": Decoding(temperature=0.1)},
    "seed": {"decoding": Decoding(seed=1)},
    "max_tokens": {"decoding": Decoding(max_tokens=7)},
    "num_ctx": {"decoding": Decoding(num_ctx=512)},
    "deterministic": {"decoding": Decoding(temperature=0.0, deterministic=True)},
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_whatever_shapes_an_answer_is_in_the_key(cache, what):
    kept(cache)
    given = {"of": arm(), "prompt": asked(), "decoding": Decoding(), **DIFFERENT[what]}
    assert cache.of(given["of"]).find([given["prompt"]], given["decoding"]) == []
    assert len(cache.of(arm()).find([asked()], Decoding())) == 1


def test_every_field_of_the_decoding_is_in_the_key(cache):
    part = cache.of(arm())
    plain = Decoding(temperature=0.0)  # with which every field may change
    keys = {part.key(asked(), plain)}
    for name in Decoding.__dataclass_fields__:
        value = getattr(plain, name)
        other = value + 1 if isinstance(value, (int, float)) else ("x",) if value == () else 4096
        keys.add(part.key(asked(), replace(plain, **{name: other})))
    assert len(keys) == 1 + len(Decoding.__dataclass_fields__)


def test_a_model_whose_answers_cost_nothing_is_left_out(cache):
    assert cache.of(arm(cache=False)) is None


def test_what_is_withdrawn_is_gone_and_the_rest_stays(cache):
    kept(cache, prompt=asked("old"))
    part = cache.of(arm())
    part.keep([asked("new")], Decoding(), [answered()])
    part.flush()
    part.keep([asked("newer")], Decoding(), [answered()])
    part.withdraw()
    part.flush()
    found = part.find([asked("old", "o"), asked("new", "n"), asked("newer", "r")], Decoding())
    assert [g.example_id for g in found] == ["o"]


def test_it_stays_below_its_limit_and_forgets_what_was_unused_longest(tmp_path):
    path = tmp_path / "c.db"
    small = GenerationCache(path, limit_bytes=400_000)
    for i in range(30):
        kept(small, prompt=asked(f"q{i}"), generation=answered(text="x" * 20_000))
    used = [asked(f"q{i}", f"e{i}") for i in range(3)]
    assert len(small.of(arm()).find(used, Decoding())) == 3
    small.close()
    left = GenerationCache(path, limit_bytes=400_000)
    assert left.stats().bytes <= 400_000
    assert path.stat().st_size <= 400_000
    assert len(left.of(arm()).find(used, Decoding())) == 3
    assert not left.of(arm()).find([asked("q5")], Decoding())
    left.close()


def test_stats_and_prune(cache):
    assert cache.stats().answers == 0
    assert cache.prune(to_bytes=0) == 0
    kept(cache, prompt=asked("a"))
    kept(cache, prompt=asked("b"), of=arm("e" * 64))
    kept(cache, prompt=asked("c"), of=arm("e" * 64))
    found = cache.stats()
    assert (found.answers, [m.answers for m in found.models]) == (3, [2, 1])
    assert cache.prune(unused_for_s=3600) == 0
    assert cache.prune(to_bytes=0) == 3
    assert cache.stats().answers == 0


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 40, b"SQLite"])
def test_a_broken_file_costs_a_warning_and_nothing_else(tmp_path, content):
    path = tmp_path / "artifacts" / "cache" / "generations.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    said = []
    cache = GenerationCache.of_project(tmp_path, said.append)
    kept(cache)
    assert cache.of(arm()).find([asked()], Decoding()) == []
    assert len(said) == 1
    assert "Delete the file" in said[0]
    with pytest.raises(DataError, match="cannot be used"):
        cache.stats()
    cache.close()


def test_a_row_of_another_version_is_asked_again(cache):
    kept(cache)
    with sqlite3.connect(cache.path) as db:
        db.execute("UPDATE generations SET generation = ?", (json.dumps({"strange": 1}),))
    assert cache.of(arm()).find([asked()], Decoding()) == []


def _write(path, start):
    cache = GenerationCache(path)
    for i in range(start, start + 40):
        kept(cache, prompt=asked(f"q{i}"), generation=answered(text=f"a{i}"))
    cache.close()


def test_two_processes_write_at_once(tmp_path):
    path = tmp_path / "c.db"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, n)) for n in (0, 20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    cache = GenerationCache(path)
    prompts = [asked(f"q{i}", f"e{i}") for i in range(60)]
    assert [g.text for g in cache.of(arm()).find(prompts, Decoding())] == [
        f"a{i}" for i in range(60)
    ]
    cache.close()
