"""Processes that a training starts by itself, where the machine has cores to spare."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from baft.testing import make_tiny_mistral
from baft_lora import workers
from baft_lora.options import Options

GIB = 2**30
BIG = 200_000


def worthwhile(*, grad_accum=8, device="cpu", parameters=4_500_000, tokens=BIG, free=20 * GIB):
    return workers.worthwhile(
        Options(base_model="x", grad_accum=grad_accum),
        device=device, parameters=parameters, tokens=tokens, free=free,
    )  # fmt: skip


@pytest.fixture
def few_cores():
    """Leave this process two of its cores."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("needs two cores")
    os.sched_setaffinity(0, sorted(before)[:2])
    yield
    os.sched_setaffinity(0, before)


needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs cores that can be taken away"
)


@needs_affinity
def test_a_small_model_trains_on_all_cores(few_cores):
    assert worthwhile() == 2
    assert worthwhile(grad_accum=6) == 2


@needs_affinity
@pytest.mark.parametrize(
    "why",
    [
        {"grad_accum": 1},
        {"grad_accum": 3},
        {"device": "cuda"},
        {"parameters": 7_000_000_000},
        {"tokens": 900},
        {"free": 3 * GIB},
    ],
    ids=lambda why: next(iter(why)),
)
def test_one_process_is_enough(few_cores, why):
    assert worthwhile(**why) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("workers")
    make_tiny_mistral(path / "tiny", max_position_embeddings=8192)
    words = "boats trains birds stamps clocks rivers lamps songs maps".split()
    for name, chosen in (("train", words[:7]), ("val", words[7:])):
        rows = [{"concept": f"A shop for {w}", "requirements": document(w)} for w in chosen]
        (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def document(word):
    return {
        "title": f"A shop for {word}",
        "description": f"Sells {word}.",
        **{
            name: [{"id": f"{prefix}001", "description": word, "priority": "High"}]
            for name, prefix in (
                ("functional_requirements", "FR"),
                ("non_functional_requirements", "NFR"),
                ("constraints", "C"),
            )
        },
    }


def train(folder, output, *more, base="tiny", cores=2):
    """``baft train`` for so long that further processes pay, on so many cores."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < cores:
        pytest.skip("needs two cores")
    ended = subprocess.run(
        [sys.executable, "-m", "baft", "train", "--train", "train.jsonl", "--val", "val.jsonl",
         "--base-model", base, "--output", output, "--device", "cpu", "--grad-accum", "4",
         "--epochs", "10", "--lr", "1e-3", "--lora-dropout", "0", *more],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, available[:cores]),
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def info(path):
    return json.loads((path / "training_info.json").read_text())


@needs_affinity
@pytest.mark.slow
def test_two_cores_end_like_one(folder):
    code, out, err = train(folder, "both")
    assert code == 0, err
    assert out.count("adapter ") == 1
    code, _, err = train(folder, "alone", cores=1)
    assert code == 0, err
    both, alone = (info(folder / name) for name in ("both", "alone"))
    assert (both["processes"], alone["processes"]) == (2, 1)
    assert both["train_tokens"] * 10 >= workers.WORTH
    assert both["step_losses"] == pytest.approx(alone["step_losses"], rel=1e-4)
    ours, theirs = (load_file(folder / name / "adapter_model.safetensors")
                    for name in ("both", "alone"))  # fmt: skip
    for key, weight in ours.items():
        assert (weight - theirs[key]).abs().max() < 1e-3 * theirs[key].abs().max(), key


@needs_affinity
@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_all_of_them(folder, tmp_path):
    broken = make_tiny_mistral(tmp_path / "broken", max_position_embeddings=8192)
    with safe_open(broken / "model.safetensors", "pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}
    weights["model.norm.weight"].fill_(float("inf"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    code, _, err = train(folder, "bad", base=str(broken))
    assert code == 2, err
    assert err.count("The loss is ") == 1
    assert "in the batch of" in err
    assert "Traceback" not in err
