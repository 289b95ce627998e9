from __future__ import annotations

import json
import random
import re
import shutil
import warnings

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from safetensors.torch import load_file, save_file

import baft
from baft.testing import make_tiny_mistral
from baft_lora import attention, loading, memory, packing, preflight, sources
from baft_lora.lessons import Lesson, lessons
from baft_lora.options import Options
from baft_lora.trainer import LoraTrainer

from .echo import TRAIN, VAL, Echo

MISTRAL_7B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
WEIGHTS_7B = 7_241_732_096
"""Of the published Mistral-7B-Instruct-v0.1, by its model card's safetensors header."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def big(base, tmp_path):
    """The configuration of a 7 B model; of its weights the headers alone are told."""
    folder = shutil.copytree(base, tmp_path / "big")
    config = json.loads((folder / "config.json").read_text()) | MISTRAL_7B
    (folder / "config.json").write_text(json.dumps(config))
    shape = [WEIGHTS_7B // 4096, 4096]
    header = {"w": {"dtype": "BF16", "shape": shape, "data_offsets": [0, 2 * shape[0] * 4096]}}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 2 * shape[0] * 4096)  # sparse: takes no room
    return folder


def options(**given):
    return Options(base_model="x", **given)


def rows(*lengths):
    return [
        Lesson(example_id=str(n), ids=(7,) * length, prompt_tokens=length // 2)
        for n, length in enumerate(lengths)
    ]


def plan(base, asked, output, *, free, length=650, device="cpu", **more):
    sets = (rows(length // 2, length), rows(length // 2))
    return preflight.plan(asked, base, sets, output=output, device=device, free=free, **more)


def train(base, output, *, log=lambda step: None, **given):
    given = {"base_model": str(base), "epochs": 2, "grad_accum": 2, "device": "cpu"} | given
    return LoraTrainer().train(Echo(), TRAIN, VAL, output, given, log)


@pytest.mark.parametrize("can", [True, False])
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32])
def test_small_models_train_in_bf16_where_stored_and_multiplied_so(
    base, tmp_path, monkeypatch, stored, can
):
    folder = shutil.copytree(base, tmp_path / "base")
    weights = {
        name: weight.to(stored) for name, weight in load_file(base / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found = {"avx512_bf16": can}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    made = plan(folder, options(), tmp_path / "out", free=64 * 10**9)
    is_native = can and stored is torch.bfloat16
    assert made.need.precision == ("bf16" if is_native else "fp32")
    assert ("this CPU multiplies bf16" in made.reason) == is_native


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_where_memory_allows_a_device_computes_what_suits_it_at_once(device, base, tmp_path):
    asked = options(quantization="bf16")
    made = plan(base, asked, tmp_path / "out", free=64 * 10**9, device=device)
    assert made.pack_tokens == preflight.PACKS[device]


def test_the_plan_trains_as_many_parameters_as_it_says(big):
    config = loading.load_config(big)
    assert preflight.trainable_parameters(config, options()) == 6_815_744
    assert preflight.trainable_parameters(config, options(lora_r=16)) == 2 * 6_815_744


@pytest.mark.parametrize(
    ("free_gb", "four_bits", "chosen", "recompute"),
    [
        (64, True, "bf16", False),
        (16.5, True, "bf16", True),
        (12, True, "bnb4", True),
        (12, False, "bf16", True),  # in the pages of its file
    ],
)
def test_auto_takes_what_fits_and_says_why(
    big, tmp_path, monkeypatch, free_gb, four_bits, chosen, recompute
):
    monkeypatch.setattr(loading, "has_four_bits", lambda: four_bits)
    found = plan(big, options(), tmp_path, free=int(free_gb * 1e9))
    assert (found.need.precision, found.need.recompute) == (chosen, recompute)
    assert found.reason.startswith(f"quantization {chosen}: ")
    assert f"{free_gb:.1f} GB are free" in found.reason
    if chosen != "bf16" or not four_bits:
        assert "bf16 would need" in found.reason
    read_again = "read from the disk again" in " ".join(found.lines())
    assert read_again == (not four_bits)


def test_small_models_stay_exact(base, tmp_path):
    assert plan(base, options(), tmp_path, free=10**9).need.precision == "fp32"


def test_a_run_goes_on_in_the_precision_that_it_was_begun_in(big, tmp_path):
    found = plan(big, options(), tmp_path, free=64 * 10**9, begun="bnb4")
    assert found.need.precision == "bnb4"
    assert "begun" in found.reason


@pytest.mark.parametrize(
    ("asked", "free_gb", "length", "advice"),
    [
        ({"quantization": "fp32"}, 16.5, 650, "Use --quantization bf16, which needs about 989 MB"),
        ({"quantization": "fp32"}, 8, 650, "Use --quantization bnb4, which needs about 6.2 GB"),
        ({"quantization": "bnb4", "batch_size": 2}, 10, 2000, "--batch-size 1 --grad-accum 16"),
        ({"quantization": "bnb4"}, 8, 2000, "--quantization bf16, which needs about 2.8 GB and re"),
        ({"quantization": "bf16"}, 4, 4000, "--batch-size 1 --max-length 2000"),
        ({"quantization": "bnb4"}, 0.2, 650, "smaller base model"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_would(big, tmp_path, asked, free_gb, length, advice):
    pytest.importorskip("bitsandbytes")
    with pytest.raises(baft.UsageError, match=r"and .* are free: weights") as caught:
        plan(big, options(**asked), tmp_path / "out", free=int(free_gb * 1e9), length=length)
    assert advice in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_what_is_advised_fits(big, tmp_path):
    pytest.importorskip("bitsandbytes")
    asked = options(quantization="bnb4", batch_size=2)
    with pytest.raises(baft.UsageError) as caught:
        plan(big, asked, tmp_path, free=10 * 10**9, length=2000)
    assert "--batch-size 1 --grad-accum 16" in caught.value.hint
    one = options(quantization="bnb4", batch_size=1, grad_accum=16)
    assert plan(big, one, tmp_path, free=10 * 10**9, length=2000).need.total_bytes < 10e9


def test_a_disk_without_room_for_checkpoints_is_told_before_the_weights_are_read(
    big, tmp_path, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 100_000))
    with pytest.raises(baft.DataError, match="checkpoints need about 3"):
        plan(big, options(), tmp_path, free=64 * 10**9)


def test_training_that_cannot_fit_leaves_nothing(base, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    with pytest.raises(baft.UsageError, match="are free"):
        train(base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_activations_are_reckoned_as_autograd_keeps_them(dtype, width, dropout, recompute):
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        hidden_size=128,
        intermediate_size=448,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=2,
        vocab_size=200,
        sliding_window=None,
    )
    asked = options(lora_dropout=dropout)
    model = loading.adapt(MistralForCausalLM(config).to(dtype), asked).train()
    if recompute:
        warnings.simplefilter("ignore", FutureWarning)  # pytest puts the filters back
        model.gradient_checkpointing_enable({"use_reentrant": False})
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    packing.prepare(model.get_base_model())
    rows = [
        Lesson(example_id=name, ids=tuple(torch.randint(0, 200, (100,)).tolist()), prompt_tokens=1)
        for name in "ab"
    ]
    one = packing.pack(rows)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        packing.losses(model, one, torch.device("cpu"))
    counted = sum(storage.nbytes() for storage in kept.values())
    given = {"tokens": 200, "logit_tokens": 200, "width": width, "dropout": dropout > 0}
    given["device"] = "cpu"
    given["seen"] = attention.kept_weights(100)
    reckoned = memory.activation_bytes(
        config, asked.target_modules, recompute=recompute, **given
    ) - 200 * 200 * (width + 8)  # logits and their gradient, which autograd does not keep
    if recompute:  # the layer that is computed again is kept later
        one = {"recompute": False, **given}
        layer = memory.activation_bytes(config, asked.target_modules, **one) // 6
        assert counted < reckoned < counted + 1.3 * layer
    else:
        assert 0.9 < reckoned / counted < 1.25


def cgroup(root, line, files):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(line + "\n")
    for name, content in files.items():
        (root / "sys/fs/cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / name).write_text(content)


def test_a_container_s_limit_is_less_than_the_machine_has(tmp_path):
    cgroup(
        tmp_path,
        "0::/user/job",
        {
            "user/job/memory.max": "max",
            "user/memory.max": "1000000",
            "user/memory.current": "700000",
            "user/memory.stat": "anon 500000\ninactive_file 150000\n",
        },
    )
    assert list(memory._free_in_groups(tmp_path)) == [450_000]


def test_the_older_control_groups_are_read_too(tmp_path):
    cgroup(
        tmp_path,
        "4:memory:/job",
        {
            "memory/job/memory.limit_in_bytes": "1000000",
            "memory/job/memory.usage_in_bytes": "900000",
            "memory/job/memory.stat": "total_inactive_file 100000\n",
            "memory/memory.limit_in_bytes": "9223372036854771712",
        },
    )
    assert list(memory._free_in_groups(tmp_path)) == [200_000]


def test_a_group_that_cannot_be_read_is_no_limit(tmp_path):
    cgroup(tmp_path, "0::/gone", {"memory.max": "soon"})
    assert list(memory._free_in_groups(tmp_path)) == []
    assert list(memory._free_in_groups(tmp_path / "no-linux")) == []
    assert memory.free_memory("cpu") > 0


def test_what_is_told_before_the_first_step_is_recorded(base, tmp_path):
    told = []
    info = train(base, tmp_path / "out", log=told.append)
    messages = [step["message"] for step in told if "message" in step]
    assert "message" in told[0]
    assert messages[0] == info["quantization_reason"]
    assert messages[1].startswith("memory: about ")
    assert messages[2].startswith("packing: ")
    taken = re.match(r"time: (\d+) tokens took ", messages[3])
    assert 26 < int(taken[1]) < 26 + 26  # the two longest, whose beginning is computed once
    assert "the 6 to come" in messages[3]
    assert info["preflight"]["precision"] == info["quantization"] == "fp32"
    assert 0 < info["preflight"]["needed_bytes"] < info["preflight"]["free_bytes"]
    assert info["forecast"]["steps"] == 6
    assert info["forecast"]["total_s"] > 6 * info["forecast"]["step_s"] > 0
    assert json.loads((tmp_path / "out" / "training_info.json").read_text()) == json.loads(
        json.dumps(info)
    )


def test_measuring_a_batch_changes_nothing(base, tmp_path, monkeypatch):
    from baft_lora import run

    made = {}

    class Fresh(run.LessonTrainer):
        """Notes what the loop begins with."""

        def train(self, *args, **kwargs):
            state = self.model.state_dict()
            made["weights"] = {name: value.clone() for name, value in state.items()}
            made["chance"] = (torch.get_rng_state(), random.getstate())
            made["gradients"] = [weight.grad for weight in self.model.parameters()]
            return super().train(*args, **kwargs)

    monkeypatch.setattr(run, "LessonTrainer", Fresh)
    measured = train(base, tmp_path / "measured", max_steps=2)
    before, chance, gradients = made["weights"], made["chance"], made["gradients"]
    monkeypatch.setattr(run.pacing, "measure", lambda trainer, rows: (1.0, 1.0))
    unmeasured = train(base, tmp_path / "unmeasured", max_steps=2)
    assert set(gradients) == {None}
    assert all(torch.equal(before[name], made["weights"][name]) for name in before)
    assert torch.equal(chance[0], made["chance"][0])
    assert measured["adapter_sha256"] == unmeasured["adapter_sha256"]


def test_a_run_that_goes_on_tells_what_is_left(base, tmp_path):
    class Killed(Exception):
        pass

    def kill(step):
        if step.get("step") == 5:
            raise Killed

    with pytest.raises(Killed):
        train(base, tmp_path / "out", log=kill)
    told = []
    info = train(base, tmp_path / "out", log=told.append, resume=True)
    assert any("the 3 to come" in step.get("message", "") for step in told)
    assert info["forecast"]["steps"] == 3


def test_the_trainer_tells_all_this_without_starting(base, tmp_path):
    told = []
    found = LoraTrainer().preflight(
        Echo(), TRAIN, VAL, tmp_path / "out", {"base_model": str(base), "epochs": 2}, told.append
    )
    assert isinstance(LoraTrainer(), baft.Preflight)
    assert [step["message"].split(":")[0] for step in told] == [
        "quantization fp32",
        "memory",
        "time",
    ]
    assert found["reason"] == told[0]["message"]
    assert found["steps"] == 2
    assert not (tmp_path / "out").exists()
    json.dumps(found)


def test_a_nan_is_found_before_the_long_part(tmp_path):
    base = make_tiny_mistral(tmp_path / "broken")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    given = {"base_model": str(base)}
    with pytest.raises(baft.DataError, match="loss is nan"):
        LoraTrainer().preflight(Echo(), TRAIN, VAL, tmp_path, given, lambda step: None)


def test_the_longest_batch_is_the_one_that_is_reckoned(base, tmp_path):
    found = preflight.plan(
        options(batch_size=2),
        base,
        (rows(10, 40, 30, 20), []),
        output=tmp_path,
        device="cpu",
        free=10**9,
    )
    assert [len(row.ids) for row in found.batch] == [40, 30]


def test_modules_that_are_not_there_are_told_before_the_weights_are_read(big, tmp_path):
    with pytest.raises(baft.UsageError, match="no modules named nope"):
        plan(big, options(target_modules=("nope",)), tmp_path, free=64 * 10**9)


def test_lessons_and_weights_are_what_is_counted(base):
    made = lessons(Echo(), loading.load_tokenizer(base), TRAIN, options())
    assert max(len(row.ids) for row in made) == 26
    parts = list(sources.stored(sources.weight_files(base)))
    assert {kind for kind, _ in parts} == {"F32"}
    assert sum(count for _, count in parts) * 4 < (base / "model.safetensors").stat().st_size
