"""Fine-tuning beside the plan's own settings and beside TRL: same data, batch, seed and weights.

Run it: .venv/bin/python benchmarks/speed/training.py --shape pocket (or small, 7b)

TRL takes part where the interpreter that runs this file can import it. ``small`` is a Mistral of
0.55 B random weights. ``7b`` writes 14.5 GB to $TMPDIR and deletes them afterwards: on a CPU one
step is taken from it in memory-mapped bf16 and in 4 bits, each in a process of its own; on a CUDA
GPU all trainers are compared on it in bf16 and in 4 bits.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, MistralConfig, Trainer

from baft.loader import load_plugins
from baft.store import read_dataset
from baft_lora import loading, packing, preflight
from baft_lora import run as running
from baft_lora.beginning import begin
from baft_lora.distributed import Group, Order
from baft_lora.lessons import Lesson, lessons
from baft_lora.memory import free_memory
from baft_lora.options import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "artifacts" / "models" / "pocket"
DATA = ROOT / "artifacts" / "synthetic" / "ba_train_v2_fixed.jsonl"
HEADS = {"num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 32_000}
SHAPES = {
    "small": {"hidden_size": 2048, "intermediate_size": 7168, "num_hidden_layers": 11, **HEADS},
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        **HEADS,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
ACCUM = 8
VALIDATION = 2


class Plainly(Trainer):
    """transformers' Trainer, told the order in which baft has the examples."""

    order: Order

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return self.order


def plain_batch(rows: list[Lesson]) -> dict[str, Any]:
    """A batch without what only baft's trainer reads."""
    batch = running.collate(rows)
    del batch["lessons"]
    return batch


def write_model(path: Path, shape: dict[str, int]) -> None:
    """Random weights in bf16, a layer in memory at a time."""
    from safetensors.torch import save_file

    config = MistralConfig(**shape, max_position_embeddings=4096, sliding_window=None)
    config.architectures, config.dtype = ["MistralForCausalLM"], "bfloat16"
    config.tie_word_embeddings = False
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config).state_dict()
    parts: dict[str, list[str]] = {}
    for name in empty:
        found = name.split(".layers.")
        parts.setdefault(found[1].split(".")[0] if len(found) > 1 else name, []).append(name)
    index, generator = {}, torch.Generator().manual_seed(0)
    for number, names in enumerate(parts.values(), 1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        tensors = {
            name: torch.ones(empty[name].shape, dtype=torch.bfloat16)
            if "norm" in name
            else torch.empty(empty[name].shape, dtype=torch.bfloat16).normal_(
                std=0.02, generator=generator
            )
            for name in names
        }
        save_file(tensors, path / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    listed = json.dumps({"metadata": {}, "weight_map": index})
    (path / "model.safetensors.index.json").write_text(listed, encoding="utf-8")
    config.save_pretrained(path)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(POCKET / file, path)


def read_lessons(base: Path, options: Options, count: int) -> tuple[list[Lesson], list[Lesson]]:
    """Business analyst examples to train on, and some to validate on."""
    role = load_plugins().role("ba")
    examples = read_dataset(DATA, role).examples[: count + VALIDATION]
    made = lessons(role, loading.load_tokenizer(base), examples, options)
    return made[:count], made[count:]


def ours(base: Path, options: Options, sets: Any, output: Path) -> Any:
    """Baft's trainer, as ``baft train`` makes it."""
    device = options.device
    group = Group.join(device)
    free = free_memory(device)
    plan = preflight.plan(options, base, sets, output=output, device=device, free=free)
    watch = running.Watch(lambda step: None, group)
    trainer = running._trainer(options, base, sets, output, plan, device, group, watch)
    print(trainer.read_packs(plan))
    return untroubled(trainer)


def planned(base: Path, options: Options, sets: Any, output: Path, template: Any) -> Any:
    """The plan's own settings: an example at a time, logits for all of its tokens."""
    trainer = Plainly(
        model=running._with_adapter(options, base, options.quantization, options.device),
        args=template.args,
        train_dataset=sets[0],
        eval_dataset=sets[1],
        data_collator=plain_batch,
    )
    trainer.order = Order(len(sets[0]), seed=options.seed)
    return untroubled(trainer)


def theirs(base: Path, options: Options, sets: Any, output: Path, template: Any) -> Any:
    """TRL's SFTTrainer: loss on answers alone, nothing computed twice, no padding."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    class Ordered(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, train_dataset: Any = None) -> Order:
            return Order(len(sets[0]), seed=options.seed)

    asked = template.args
    same = ("learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm")
    same += ("optim", "gradient_accumulation_steps", "max_steps", "seed", "dataloader_pin_memory")
    same += ("per_device_train_batch_size", "per_device_eval_batch_size", "log_level")
    rows = [
        Dataset.from_list(
            [
                {
                    "input_ids": list(row.ids),
                    "completion_mask": [int(i >= row.prompt_tokens) for i in range(len(row.ids))],
                }
                for row in part
            ]
        )
        for part in sets
    ]
    trainer = Ordered(
        model=running._with_adapter(options, base, options.quantization, options.device),
        args=SFTConfig(
            output_dir=str(output),
            **{name: getattr(asked, name) for name in same},
            completion_only_loss=True,
            gradient_checkpointing=False,
            max_length=None,
            bf16=False,
            use_cpu=options.device == "cpu",
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=rows[0],
        eval_dataset=rows[1],
        processing_class=loading.load_tokenizer(base),
    )
    return untroubled(trainer)


def untroubled(trainer: Any) -> Any:
    """Without checkpoints and validations between steps, and silent."""
    from transformers import EarlyStoppingCallback, PrinterCallback

    for callback in (PrinterCallback, EarlyStoppingCallback):
        trainer.remove_callback(callback)
    trainer.args.save_strategy = trainer.args.eval_strategy = "no"
    trainer.args.load_best_model_at_end = False
    return trainer


def cost(trainer: Any) -> tuple[float, float]:
    """Seconds of wall time and of CPU for all steps of a round."""
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def gemm_peak(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of the best of several products of square matrices."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = min(_seconds(lambda: (a @ b)[0, 0].item()) for _ in range(8))
    return 2 * size**3 / best


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def gpu_bytes(trainer: Any, trainers: Any) -> str:
    """The most that a round takes on a GPU, beside what the other trainers' models hold there."""
    if not torch.cuda.is_available():
        return ""
    torch.cuda.reset_peak_memory_stats()
    cost(trainer)
    others = sum(one.model.get_memory_footprint() for one in trainers if one is not trainer)
    return f"  GPU {(torch.cuda.max_memory_allocated() - others) / 1e9:.1f} GB"


def step_flops(trainer: running.LessonTrainer, packs: Sequence[Sequence[Lesson]]) -> float:
    """Of a step forward and backward: 4 by frozen weight and token, 6 by trained one, attention.

    By weight and token a product takes 2; forward and the gradient of the input for all, the
    gradient of the weight for the adapter's (Kaplan et al. 2020, table 1). By pair of tokens that
    see each other attention takes 4 by head and number forward, and 8 backward.
    """
    config, linear = trainer.model.config, 0
    for name, part in trainer.model.named_modules():
        if isinstance(part, torch.nn.Linear) and "lm_head" not in name:
            learns = part.weight.requires_grad
            linear += part.in_features * part.out_features * (6 if learns else 4)
    beginning = begin(packs) if trainer._shares else None
    given = len(beginning.ids) if beginning else 0
    made = [packing.pack(rows, given) for rows in packs]
    tokens = given + sum(len(one.ids) for one in made)
    pairs = given**2 / 2
    for first, *own in (one.sizes for one in made):
        pairs += first**2 / 2 + sum(n * (given + first) + n**2 / 2 for n in own)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 12 * config.num_hidden_layers * config.num_attention_heads * head * pairs
    learnt = sum(len(one.targets) for one in made)
    return tokens * linear + attention + 4 * config.vocab_size * config.hidden_size * learnt


def compare(
    base: Path, precision: str, *, device: str, examples: int, rounds: int, folder: Path
) -> None:
    """All trainers in turns on the same examples; the best round of each."""
    options = Options(
        base_model=str(base),
        quantization=precision,  # type: ignore[arg-type]
        device=device,  # type: ignore[arg-type]
        max_steps=examples // ACCUM,
        loss="answer",
    )
    sets = read_lessons(base, options, examples)
    mine = ours(base, options, sets, folder / "baft")
    trainers = {
        "plan": planned(base, options, sets, folder / "plan", mine),
        "baft": mine,
    }
    if precision != "bnb4":  # by which the plan trains unless it is told otherwise
        as_typed = replace(options, quantization="bnb4")
        trainers["plan, 4 bits"] = planned(base, as_typed, sets, folder / "typed", mine)
    if importlib.util.find_spec("trl") and importlib.util.find_spec("datasets"):
        trainers["trl"] = theirs(base, options, sets, folder / "trl", mine)
    else:
        print("TRL is not installed here; its row stays empty.")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in trainers}
    threads = torch.get_num_threads()
    with loading.few_threads(mine.model.num_parameters()):
        peak = gemm_peak(torch.float32 if precision == "fp32" else torch.bfloat16, device)
        for _ in range(rounds):
            for name, trainer in trainers.items():
                found[name].append(cost(trainer))
        if torch.get_num_threads() == 1:  # what its own settings would have it do
            torch.set_num_threads(threads)
            for name in [name for name in trainers if name != "baft"]:
                found[f"{name}, all threads"] = [cost(trainers[name]) for _ in range(rounds)]
            torch.set_num_threads(1)
        losses = {name: trainer.evaluate()["eval_loss"] for name, trainer in trainers.items()}
        held = {name: gpu_bytes(trainer, trainers.values()) for name, trainer in trainers.items()}
    answers = sum(len(row.ids) - row.prompt_tokens for row in sets[0])
    best = {name: min(wall for wall, _ in times) for name, times in found.items()}
    for name, times in found.items():
        print(
            f"{name:<25} {answers / best[name]:8.1f} answer tokens/s  "
            f"{best['plan'] / best[name]:5.2f} x plan  "
            f"CPU {min(cpu for _, cpu in times):7.2f} s  wall {best[name]:7.2f} s  "
            f"validation loss {losses[name.removesuffix(', all threads')]:.4f}{held.get(name, '')}",
            flush=True,
        )
    order = list(Order(len(sets[0]), seed=options.seed))
    parts = [sets[0][place] for place in order]
    flops = 0.0
    for start in range(0, examples, ACCUM):
        batches = [[row] for row in parts[start : start + ACCUM]]
        flops += step_flops(mine, packing.packs(batches, mine._budget))
    rate = flops / best["baft"]
    print(f"baft  {rate / 1e9:.0f} GFLOP/s of {peak / 1e9:.0f} of a product: {rate / peak:.0%}")


def whole_command(base: Path, precision: str, folder: Path) -> None:
    """``baft train`` as it is typed, on all examples but a few: the steps of its epochs."""
    rows = DATA.read_text(encoding="utf-8").splitlines()
    for name, part in (("train", rows[:-VALIDATION]), ("val", rows[-VALIDATION:])):
        (folder / f"{name}.jsonl").write_text("\n".join(part) + "\n", encoding="utf-8")
    output = folder / "whole"
    subprocess.run(
        [sys.executable, "-m", "baft", "-q", "train", "--train", str(folder / "train.jsonl"),
         "--val", str(folder / "val.jsonl"), "--base-model", str(base), "--output", str(output),
         "--device", "cpu", "--quantization", precision],
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    info = json.loads((output / "training_info.json").read_text(encoding="utf-8"))
    answers = info["train_answer_tokens"] * len(info["losses"])
    print(
        f"baft train, {info['processes']} processes: {answers / info['steps_s']:.1f} answer "
        f"tokens/s over {info['steps']} steps"
    )


def one_step(base: Path, precision: str, folder: Path) -> None:
    """One optimizer step of one example, with the most anonymous memory that it took."""
    options = Options(
        base_model=str(base), quantization=precision, device="cpu", max_steps=1, grad_accum=1
    )  # type: ignore[arg-type]
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            text = Path("/proc/self/status").read_text(encoding="ascii")
            peak[0] = max(peak[0], int(text.partition("RssAnon:")[2].split()[0]) * 1024)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    started = time.perf_counter()
    train, _ = read_lessons(base, options, 1)
    trainer = ours(base, options, (train, []), folder / precision)
    loaded = time.perf_counter() - started
    wall, cpu = cost(trainer)
    done.set()
    thread.join()
    print(
        f"{precision}: {len(train[0].ids)} tokens; loaded in {loaded:.0f} s, one step in "
        f"{wall:.0f} s ({cpu:.0f} s of CPU), peak anonymous memory {peak[0] / 1e9:.1f} GB",
        flush=True,
    )


def main() -> None:
    """Make the model, compare, and clean up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=["pocket", *SHAPES], default="pocket")
    parser.add_argument("--precision", choices=["bnb4", "bf16", "fp32"], help="of all trainers")
    parser.add_argument("--layers", type=int, help="fewer layers, for a try")
    parser.add_argument("--examples", type=int, default=ACCUM)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--step", nargs=2, metavar=("MODEL", "PRECISION"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("No GPU is at hand; the rows of CUDA stay empty.", flush=True)
    loading.tame_four_bits()
    with tempfile.TemporaryDirectory() as name, loading.quiet():
        folder = Path(name)
        if asked.step:
            one_step(Path(asked.step[0]), asked.step[1], folder)
            return
        base = POCKET
        if asked.shape != "pocket":
            base = folder / "model"
            base.mkdir()
            layers = {"num_hidden_layers": asked.layers} if asked.layers else {}
            write_model(base, {**SHAPES[asked.shape], **layers})
        if asked.shape == "7b" and torch.cuda.is_available():
            for precision in ("bf16", "bnb4"):
                print(f"{torch.cuda.get_device_name()}, {precision}", flush=True)
                compare(base, precision, device="cuda", examples=asked.examples,
                        rounds=asked.rounds, folder=folder)  # fmt: skip
            return
        if asked.shape == "7b":
            for precision in ("bf16", "bnb4"):
                command = [sys.executable, __file__, "--step", str(base), precision]
                subprocess.run(command, check=True)
            return
        precision = asked.precision or ("fp32" if asked.shape == "pocket" else "bf16")
        compare(base, precision, device="cpu", examples=asked.examples, rounds=asked.rounds,
                folder=folder)  # fmt: skip
        if asked.shape == "pocket":
            whole_command(base, precision, folder)


if __name__ == "__main__":
    main()
