"""Several processes that train as one: what each sees, and real ones under torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from accelerate.data_loader import BatchSamplerShard
from safetensors.torch import load_file
from torch import device
from torch.utils.data import BatchSampler

import baft
from baft.testing import make_tiny_mistral
from baft_lora.distributed import Group, dealt, filler, share
from baft_lora.lessons import Lesson
from baft_lora.options import Options
from baft_lora.run import IGNORED, collate

FLAGS = ("train", "--train", "train.jsonl", "--val", "val.jsonl", "--base-model", "tiny",
         "--device", "cpu", "--epochs", "2", "--lr", "1e-2", "--lora-dropout", "0")  # fmt: skip
WORDS = "boats trains birds stamps clocks rivers lamps songs maps".split()


def group(rank, size):
    return Group(rank=rank, size=size, device=device("cpu"))


def lessons(count):
    return [
        Lesson(example_id=str(i), ids=(1, 2, *range(3, 5 + i * 7 % 11)), prompt_tokens=2)
        for i in range(count)
    ]


def shards(count, processes, batch_size, epoch=0):
    """Ids of the examples of each batch of each process, as a loader deals them out."""
    found = []
    for rank in range(processes):
        together = group(rank, processes)
        accum = max(1, 8 // (batch_size * processes))
        rows, order = dealt(lessons(count), together, batch_size=batch_size, accum=accum, seed=42)
        order.set_epoch(epoch)
        batches = BatchSampler(order, batch_size, drop_last=False)
        mine = BatchSamplerShard(batches, processes, rank) if processes > 1 else batches
        found.append([[rows[i] for i in batch] for batch in mine])
    return found


def learnt(batch):
    return [row.example_id for row in batch if row.prompt_tokens < len(row.ids)]


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5, 7, 12])
def test_each_example_is_learnt_once_an_epoch(count, batch_size, processes):
    dealt_out = shards(count, processes, batch_size)
    assert len({len(batches) for batches in dealt_out}) == 1
    everything = [i for batches in dealt_out for batch in batches for i in learnt(batch)]
    assert sorted(everything) == sorted(str(i) for i in range(count))


@pytest.mark.parametrize("processes", [2, 4])
def test_a_step_has_the_examples_that_one_process_would_have(processes):
    (alone,) = shards(22, 1, 1, epoch=3)
    together = shards(22, processes, 1, epoch=3)
    steps = [sorted(i for batch in alone[at : at + 8] for i in learnt(batch)) for at in (0, 8, 16)]
    width = 8 // processes
    for number, step in enumerate(steps):
        span = slice(number * width, (number + 1) * width)
        shared = [i for mine in together for batch in mine[span] for i in learnt(batch)]
        assert sorted(shared) == step


def test_processes_have_about_as_much_to_compute_in_a_step():
    (alone,) = shards(96, 1, 1)
    for processes in (2, 4):
        width = 8 // processes
        for step in range(12):
            ours = [mine[step * width : (step + 1) * width] for mine in shards(96, processes, 1)]
            tokens = [sum(len(row.ids) for batch in mine for row in batch) for mine in ours]
            longest = max(len(batch[0].ids) for batch in alone[step * 8 : step * 8 + 8])
            assert max(tokens) - min(tokens) < longest
    assert max(tokens) > min(tokens)  # there was something to even out


def test_another_epoch_has_another_order():
    assert shards(22, 2, 1, epoch=0) != shards(22, 2, 1, epoch=1)


def test_nothing_is_learnt_of_a_filler():
    batch = collate([filler(lessons(1)[0])])
    assert (batch["labels"] == IGNORED).all()
    assert batch["input_ids"].shape[1] == 2


def test_batches_that_cannot_be_shared_are_refused():
    options = Options(base_model="x", grad_accum=8)
    assert share(options, group(0, 4)).grad_accum == 2
    with pytest.raises(baft.UsageError, match="8 batches by optimizer step") as caught:
        share(options, group(0, 3))
    assert "--grad-accum 9" in caught.value.hint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("several")
    make_tiny_mistral(path / "tiny", max_position_embeddings=8192)
    for name, words in (("train", WORDS[:7]), ("val", WORDS[7:])):
        rows = [{"concept": f"A shop for {w}", "requirements": document(w)} for w in words]
        (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def document(word):
    def items(prefix):
        return [{"id": f"{prefix}001", "description": word, "priority": "High"}]

    return {
        "title": f"A shop for {word}",
        "description": f"Sells {word}.",
        "functional_requirements": items("FR"),
        "non_functional_requirements": items("NFR"),
        "constraints": items("C"),
    }


def start(folder, *launcher, more=()):
    ended = subprocess.run(
        [sys.executable, *launcher, "-m", "baft", *FLAGS, *more],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
              "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
              "--main_process_port", "0")  # fmt: skip


@pytest.fixture(scope="module")
def alone(folder):
    code, _, err = start(folder, more=("--output", "alone", "--grad-accum", "4"))
    assert code == 0, err
    return result(folder / "alone")


def result(output):
    info = json.loads((output / "training_info.json").read_text())
    return info, load_file(output / "adapter_model.safetensors")


SMALL_PACKS = """
import runpy, sys
from baft_lora import beginning, preflight
preflight.PACKS["cpu"] = 1
inner = beginning.Beginning._read_by
def read_by(self, *args):
    print("beginning of", len(self.ids), file=sys.stderr)
    inner(self, *args)
beginning.Beginning._read_by = read_by
runpy.run_module("baft", run_name="__main__")
"""


@pytest.mark.slow
def test_processes_that_read_a_beginning_each_end_like_one(folder, alone):
    (folder / "small_packs.py").write_text(SMALL_PACKS)
    ended = subprocess.run(
        [sys.executable, *TORCHRUN, "small_packs.py", *FLAGS, "--output", "packs",
         "--grad-accum", "4"],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("beginning of") == 2 * 3  # by epoch; one has a filler, and none
    info, weights = result(folder / "packs")
    one, expected = alone
    assert info["step_losses"] == pytest.approx(one["step_losses"], rel=1e-5)
    for key, weight in weights.items():
        assert (weight - expected[key]).abs().max() < 1e-5 * expected[key].abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_two_processes_end_like_one(folder, alone, launcher):
    name = launcher[1].partition(".")[0]
    code, out, err = start(folder, *launcher, more=("--output", name, "--grad-accum", "4"))
    assert code == 0, err
    info, weights = result(folder / name)
    one, expected = alone
    assert (info["processes"], one["processes"]) == (2, 1)
    assert info["steps"] == one["steps"] == 4
    assert info["step_losses"] == pytest.approx(one["step_losses"], rel=1e-5)
    assert [e["val_loss"] for e in info["losses"]] == pytest.approx(
        [e["val_loss"] for e in one["losses"]], rel=1e-5
    )
    assert weights.keys() == expected.keys()
    for key, weight in weights.items():
        assert (weight - expected[key]).abs().max() < 1e-5 * expected[key].abs().max()
    assert out.count("adapter ") == 1  # one voice
    assert err.count("train: 4/4 epoch 2 loss") == 1
    states = {path.name for path in (folder / name / "checkpoint-4").glob("rng_state*")}
    assert states == {"rng_state_0.pth", "rng_state_1.pth"}


@pytest.mark.slow
def test_what_is_wrong_is_said_once(folder):
    code, _, err = start(folder, *TORCHRUN, more=("--output", "none", "--grad-accum", "3"))
    assert code
    assert err.count("error: 3 batches by optimizer step cannot be shared evenly") == 1
    assert "Interrupted" not in err
    assert not (folder / "none" / "checkpoint-1").exists()
