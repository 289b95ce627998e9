"""No two different arms share an answer: what changed under one name misses the cache.

Every case keeps an answer under a model, changes the model where it lies, opens the same spec anew
and looks for the answer. What is put back as it was finds it again.
"""

from __future__ import annotations

import json
import shutil

import pytest

from baft import Decoding, Generation
from baft.loader import load_plugins
from baft.records import ArmManifest
from baft.store.cache import GenerationCache
from baft.testing import FakeModel, FakeOllama, make_tiny_mistral, prompt_of

PROMPT = prompt_of("e1", "a bakery")
PLUGINS = load_plugins()


@pytest.fixture
def cache(tmp_path):
    cache = GenerationCache(tmp_path / "cache.db")
    yield cache
    cache.close()


def part_of(cache, spec):
    """The cache's part for what the spec means now, as a run would open it."""
    backend = PLUGINS.open(spec, PLUGINS.context(env={}, device="cpu", role=PLUGINS.role("ba")))
    arm = ArmManifest(
        name="arm",
        spec=spec,
        fingerprint=backend.fingerprint(),
        config=dict(backend.describe()),
    )
    return cache.of(arm)


def keep(cache, spec):
    part = part_of(cache, spec)
    part.keep([PROMPT], Decoding(), [Generation(example_id="e1", text="An answer.")])
    part.flush()


def finds(cache, spec, decoding=None):
    return bool(part_of(cache, spec).find([PROMPT], decoding or Decoding()))


def check_changes(cache, spec, changes):
    """Each change, a pair of what does and what undoes it, must miss; undone it must hit."""
    keep(cache, spec)
    assert finds(cache, spec)
    assert not finds(cache, spec, Decoding(temperature=0.1))
    for name, (change, undo) in changes.items():
        change()
        assert not finds(cache, spec), name
        undo()
        assert finds(cache, spec), name


def edits(path, text):
    """A change that writes a file, and the one that puts it back."""
    before = path.read_bytes()
    return lambda: path.write_text(text, encoding="utf-8"), lambda: path.write_bytes(before)


def write_adapter(folder, base, seed):
    """An adapter as training leaves it; the weights are drawn by seed."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    drawn = np.random.default_rng(seed)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    weights = {
        name.format(part): drawn.normal(size=shape).astype(np.float32)
        for part, shape in (("A", (4, 32)), ("B", (32, 4)))
    }
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "base_model_name_or_path": str(base), "r": 4}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_an_adapter_retrained_in_the_same_folder(cache, tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")
    base = make_tiny_mistral(tmp_path / "base")
    adapter = tmp_path / "adapter"
    write_adapter(adapter, base, seed=1)
    other_base = make_tiny_mistral(tmp_path / "other", seed=7)

    def weights_of(folder):
        shutil.copy(folder / "model.safetensors", base / "model.safetensors")

    shutil.copytree(base, tmp_path / "kept")
    template = (base / "chat_template.jinja").read_text()
    check_changes(
        cache,
        f"lora:{adapter}",
        {
            "retrained": (
                lambda: write_adapter(adapter, base, seed=2),
                lambda: write_adapter(adapter, base, seed=1),
            ),
            "its rank": edits(
                adapter / "adapter_config.json",
                json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(base), "r": 8}),
            ),
            "the base below it": (
                lambda: weights_of(other_base),
                lambda: weights_of(tmp_path / "kept"),
            ),
            "the template": edits(base / "chat_template.jinja", f"{template} "),
        },
    )


def test_an_edited_program(cache, tmp_path):
    pytest.importorskip("dspy")
    from baft_dspy import program

    role = PLUGINS.role("ba")
    folder = tmp_path / "program"
    program.save(program.build(role, "Write requirements."), role, folder)
    state = (folder / "program.json").read_text()
    assert "Write requirements." in state
    with FakeOllama() as server:
        spec = f"dspy:{folder}?lm=ollama:mistral:7b-instruct@{server.url}"
        pull = server.models.__setitem__
        check_changes(
            cache,
            spec,
            {
                "instruction": edits(
                    folder / "program.json", state.replace("Write requirements.", "Write them.")
                ),
                "the model below it": (
                    lambda: pull("mistral:7b-instruct", FakeModel(weights="new")),
                    lambda: pull("mistral:7b-instruct", FakeModel()),
                ),
            },
        )
        assert not finds(cache, f"ollama:mistral:7b-instruct@{server.url}")


def test_a_tag_that_was_pulled_again(cache):
    pytest.importorskip("aiohttp")
    with FakeOllama() as server:
        name = "mistral:7b-instruct"

        def pulled(**changes):
            back = FakeModel()
            return (
                lambda: server.models.__setitem__(name, FakeModel(**changes)),
                lambda: server.models.__setitem__(name, back),
            )

        check_changes(
            cache,
            f"ollama:{name}@{server.url}",
            {
                "weights": pulled(weights="new"),
                "template": pulled(template="{{ .Prompt }} "),
                "parameters": pulled(parameters=('stop "x"',)),
            },
        )


def test_arms_of_one_run_have_parts_of_their_own(cache, tmp_path):
    """A base, and two adapters of it, side by side."""
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")
    base = make_tiny_mistral(tmp_path / "base")
    for seed in (1, 2):
        write_adapter(tmp_path / f"adapter{seed}", base, seed)
    specs = [f"hf:{base}", *(f"lora:{tmp_path / f'adapter{seed}'}" for seed in (1, 2))]
    for number, spec in enumerate(specs):
        assert [finds(cache, other) for other in specs] == [i < number for i in range(3)]
        keep(cache, spec)
