from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")

import torch
from safetensors.torch import load_file

import baft
from baft.testing import make_tiny_mistral
from baft_lora import loading, quantizing, sources
from baft_lora.backend import LocalBackend
from baft_lora.trainer import LoraTrainer

from .echo import TRAIN, VAL, Echo

SIZES = {"hidden_size": 64, "intermediate_size": 128}
"""Rows of at least 64 weights, which share a scale."""


def quiet_log(step):
    pass


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny", **SIZES)


@pytest.fixture(scope="module")
def kept(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "tiny-bnb4"
    said = []
    quantizing.save(base, folder, name="tiny", device="cpu", log=said.append)
    assert "quantizing" in said[0]["message"]
    return folder


def train(base, output, **options):
    options = {"base_model": str(base), "epochs": 2, "grad_accum": 2, "device": "cpu"} | options
    return LoraTrainer().train(Echo(), TRAIN, VAL, output, options, quiet_log)


def answers(spec, **options):
    context = baft.Context(open=lambda spec: None, device="cpu", **options)
    backend = LocalBackend.open_adapter(spec, context)
    prompts = [Echo().prompt(example) for example in VAL]
    made = asyncio.run(backend.generate(prompts, baft.Decoding(temperature=0, max_tokens=8)))
    return [answer.text for answer in made], backend


@pytest.fixture(scope="module")
def trained(kept, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "adapter"
    return output, train(kept, output, quantization="bnb4", lr=1e-2)


def test_the_kept_weights_are_the_ones_that_quantizing_at_each_load_gives(base, kept):
    once = loading.load_weights(kept, dtype="bnb4", device="cpu")
    each = loading.load_weights(base, dtype="bnb4", device="cpu")
    ids = torch.arange(9).unsqueeze(0)
    assert torch.equal(once(ids).logits, each(ids).logits)
    exact = loading.load_weights(base, dtype="float32", device="cpu")(ids).logits
    pair = torch.stack([once(ids).logits.float().flatten(), exact.flatten()])
    assert 0.8 < torch.corrcoef(pair)[0, 1] < 0.9999  # four bits, and yet the same model


def test_four_bits_take_an_eighth_and_are_told_as_such(base, kept):
    packed = [name for name in load_file(kept / "model.safetensors") if "quant_state" in name]
    assert len(packed) == 2 * 7
    assert sources.quantization(kept) == "bnb4"
    assert sources.quantization(base) is None
    count = sources.parameter_count(sources.weight_files(base))
    assert sources.parameter_count(sources.weight_files(kept)) == count
    info = json.loads((kept / quantizing.INFO).read_text())
    assert info["source"] == "tiny"
    assert info["sha256"] == sources.model_digest(base)
    assert info["versions"]["bitsandbytes"]


def test_an_adapter_is_trained_on_the_kept_base_and_answers_on_it(kept, trained):
    output, info = trained
    assert info["quantization"] == "bnb4"
    assert info["losses"][-1]["train_loss"] < info["losses"][0]["train_loss"]
    texts, backend = answers(str(output))
    assert all(texts)
    assert backend.describe()["dtype"] == "bnb4"
    assert sources.adapter_config(output)["base_model_name_or_path"] == str(kept)


def test_quantizing_at_each_load_trains_the_same_adapter(base, trained, tmp_path):
    output, _ = trained
    train(base, tmp_path / "out", quantization="bnb4", lr=1e-2)
    one, other = (
        load_file(folder / "adapter_model.safetensors") for folder in (output, tmp_path / "out")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_adapter_answers_on_the_base_in_full_precision_too(base, trained):
    output, _ = trained
    _, quantized = answers(str(output))
    texts, full = answers(f"{output}?base={base}")
    assert all(texts)
    assert full.describe()["dtype"] == "float32"
    assert full.fingerprint() != quantized.fingerprint()


def test_a_base_is_quantized_once(base, kept):
    before = (kept / "model.safetensors").stat().st_mtime_ns
    said = []
    quantizing.save(base, kept, name="tiny", device="cpu", log=said.append)
    assert "already" in said[0]["message"]
    assert (kept / "model.safetensors").stat().st_mtime_ns == before


def test_a_folder_of_something_else_is_left_alone(base, kept, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(baft.UsageError, match="holds something else"):
        quantizing.save(base, tmp_path, name="x", device="cpu", log=quiet_log)
    other = make_tiny_mistral(tmp_path / "other", seed=1, **SIZES)
    with pytest.raises(baft.UsageError, match="holds something else"):
        quantizing.save(other, kept, name="x", device="cpu", log=quiet_log)
    with pytest.raises(baft.DataError, match="quantized already"):
        quantizing.save(kept, tmp_path / "twice", name="x", device="cpu", log=quiet_log)


def test_what_breaks_off_leaves_nothing(tmp_path):
    base = make_tiny_mistral(tmp_path / "tiny", **SIZES)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(baft.DataError):
        quantizing.save(base, tmp_path / "q", name="x", device="cpu", log=quiet_log)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]


def test_training_keeps_the_quantized_base_and_goes_on_from_it(base, tmp_path):
    info = train(base, tmp_path / "out", max_steps=1, save_quantized=str(tmp_path / "q"))
    assert info["quantization"] == "bnb4"
    named = sources.adapter_config(tmp_path / "out")["base_model_name_or_path"]
    assert info["base_model"] == named == str(tmp_path / "q")
    assert all(answers(str(tmp_path / "out"))[0])
    again = train(base, tmp_path / "2", max_steps=1, save_quantized=str(tmp_path / "q"))
    assert again["adapter_sha256"] == info["adapter_sha256"]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_four_bits_are_not_more_again(base, kept, tmp_path, precision):
    with pytest.raises(baft.UsageError, match="4 bits"):
        train(kept, tmp_path / "out", quantization=precision)
    with pytest.raises(baft.UsageError, match="bnb4"):
        train(base, tmp_path / "out", quantization=precision, save_quantized=str(tmp_path / "q"))
    assert not (tmp_path / "out").exists()


def test_another_way_of_quantizing_is_refused_by_name(base, tmp_path):
    config = json.loads((base / "config.json").read_text())
    copy = make_tiny_mistral(tmp_path / "copy", **SIZES)
    foreign = config | {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    (copy / "config.json").write_text(json.dumps(foreign))
    with pytest.raises(baft.DataError, match="gptq"):
        train(copy, tmp_path / "out")


def test_bitsandbytes_says_nothing_and_fetches_nothing(tmp_path):
    """A package ``kernels`` that is installed is not asked to fetch what bitsandbytes wants."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text(
        "def get_kernel(*names, **options):\n    raise SystemExit('fetched a kernel')\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from baft_lora import loading;"
        "loading.tame_four_bits(); assert 'bitsandbytes' in sys.modules;"
        "import kernels; print(kernels.get_kernel.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("get_kernel\n", "", 0)
