"""What baft adds to DSPy: MIPROv2 through baft beside plain MIPROv2, and `dspy:` beside its model.

Optimizing talks to a mock server in a process of its own; every answer takes 20 ms.

Run it: .venv/bin/python benchmarks/speed/programs.py [--rounds 3] [--examples 64]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import logging
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from baft import Decoding
from baft.loader import load_plugins
from baft.testing import Answer, FakeBackend, FakeOpenAI

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.sharedctypes import Synchronized

ROOT = Path(__file__).parents[2]
DATA = ROOT / "artifacts" / "synthetic" / "ba_train_v2_fixed.jsonl"
DELAY_S = 0.02
THREADS = 16
CANDIDATES, TRIALS, SEED = 6, 10, 42


def rows() -> list[dict[str, Any]]:
    """The training data, as its lines stand."""
    return [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]


def fields() -> str:
    """A good document as DSPy wants it written."""
    document = rows()[0]["requirements"]
    texts = {k: v if isinstance(v, str) else yaml.safe_dump(v) for k, v in document.items()}
    return "\n\n".join(f"[[ ## {name} ## ]]\n{text}" for name, text in texts.items())


def serve(asked: Synchronized[int], url: Any, done: Any) -> None:
    """Answer until told to end: a document in fields, or an instruction nobody wrote before."""
    document = fields()

    def answer(request: Any) -> Answer:
        with asked.get_lock():
            asked.value += 1
            number = asked.value
        proposed = f"[[ ## proposed_instruction ## ]]\nWrite requirements, way {number}."
        rest = "\n\n".join(f"[[ ## {name} ## ]]\nx" for name in PROPOSER)
        wanted = any(f"[[ ## {name} ## ]]" in str(request.body) for name in PROPOSER)
        text = f"{proposed}\n\n{rest}" if wanted else document
        return Answer(text=text, delay_s=DELAY_S)

    with FakeOpenAI(answer) as server:
        url.put(f"{server.url}/v1")
        done.wait()


PROPOSER = ("proposed_instruction", "observations", "summary", "program_description")
"""Outputs that DSPy's proposer asks for."""


def through_baft(url: str, examples: Sequence[Any], folder: Path) -> None:
    """The optimizer as `baft optimize` calls it."""
    plugins = load_plugins()
    role = plugins.role("ba")
    half = len(examples) // 2
    options = {
        "num_candidates": CANDIDATES,
        "num_trials": TRIALS,
        "max_bootstrapped_demos": 0,
        "max_labeled_demos": 0,
        "minibatch": False,
        "hints": False,
        "threads": THREADS,
        "seed": SEED,
    }
    model = plugins.open(f"openai:tiny@{url}", plugins.context(role=role))
    plugins.make("optimizers", "mipro").optimize(
        role,
        plugins.metric(role.metric),
        examples[:half],
        examples[half:],
        model,
        folder,
        options,
        lambda step: None,
    )


def plainly(url: str, examples: Sequence[Any], folder: Path) -> None:
    """DSPy's own MIPROv2, called as its documentation does.

    With its cache, in memory, since baft's search asks no question twice either.
    """
    import dspy

    from baft_dspy.program import as_text, build

    plugins = load_plugins()
    role = plugins.role("ba")
    metric = plugins.metric(role.metric)
    made = [dspy.Example(concept=as_text(e.inputs["concept"])).with_inputs("concept")
            for e in examples]  # fmt: skip

    def score(example: Any, prediction: Any, trace: Any = None) -> float:
        fields = {name: prediction[name] for name in prediction.keys()}
        generation = _Fields(text="-", fields=fields)
        return metric.score(examples[0], role.parse(generation, "lenient")).value

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)  # a new one
    lm = dspy.LM("openai/tiny", api_base=url, api_key="x", temperature=0.7, max_tokens=2048)
    optimizer = dspy.MIPROv2(
        metric=score,
        prompt_model=lm,
        task_model=lm,
        auto=None,
        num_candidates=CANDIDATES,
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        num_threads=THREADS,
        seed=SEED,
        track_stats=False,
    )
    half = len(made) // 2
    with dspy.context(lm=lm):
        best = optimizer.compile(
            build(role),
            trainset=made[:half],
            valset=made[half:],
            num_trials=TRIALS,
            minibatch=False,
        )
    best.save(folder / "program.json")


class _Fields:
    """What a role reads of an answer that came as fields."""

    def __init__(self, text: str, fields: dict[str, Any]) -> None:
        self.text, self.fields = text, fields


def optimizing(url: str, asked: Synchronized[int], examples: Sequence[Any], rounds: int) -> None:
    """Wall time and calls of both, in turns; the first turn of each warms up."""
    found: dict[str, list[tuple[float, int]]] = {"plain": [], "baft": []}
    ways = {"plain": plainly, "baft": through_baft}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                before, started = asked.value, time.perf_counter()
                with (
                    contextlib.redirect_stdout(io.StringIO()),
                    contextlib.redirect_stderr(io.StringIO()),
                ):
                    way(url, examples, Path(folder))
                found[name].append((time.perf_counter() - started, asked.value - before))
    middle = {}
    for name, turns in found.items():
        middle[name] = statistics.median(wall for wall, _ in turns[1:])
    calls = {name: statistics.median(n for _, n in turns[1:]) for name, turns in found.items()}
    for name, wall in middle.items():
        print(f"optimizing, {name:<5} {wall:6.2f} s, {calls[name]:.0f} calls")
    ratio = middle["baft"] / middle["plain"]
    by_call = ratio / (calls["baft"] / calls["plain"])
    print(f"optimizing, ratio {ratio:.2f}, by call {by_call:.2f}")


async def generating(examples: Sequence[Any], rounds: int) -> None:
    """Time by example through a program and without it, alone and with 16 at once.

    The model is in this process, so that what is added is not lost in the noise of a server.
    """
    from baft import Context
    from baft_dspy.backend import open_backend
    from baft_dspy.program import build, save

    role = load_plugins().role("ba")
    model = FakeBackend(fields(), wait_s=DELAY_S)
    asked = [role.prompt(example) for example in examples]
    with tempfile.TemporaryDirectory() as folder:
        save(build(role), role, Path(folder))
        program = open_backend(f"{folder}?lm=fake:", Context(open=lambda spec: model, role=role))
        for width in (1, THREADS):
            took: dict[str, list[tuple[float, float]]] = {"model": [], "program": []}
            for _ in range(rounds + 1):
                for name, backend in (("model", model), ("program", program)):
                    took[name].append(await _seconds(backend, asked, width))
            wall, cpu = (_added(took, column) for column in (0, 1))
            alone = statistics.median(turn[0] for turn in took["model"][1:])
            print(
                f"generating, {width:>2} at once: model {alone * 1e3:.2f} ms by example, "
                f"added {wall * 1e3:.2f} ms, of the processor {cpu * 1e3:.2f} ms"
            )
        await program.close()


def _added(took: dict[str, list[tuple[float, float]]], column: int) -> float:
    """Median of the turns with the program less that of the turns without; the first warms up."""
    program, model = (
        statistics.median(turn[column] for turn in took[name][1:]) for name in ("program", "model")
    )
    return program - model


async def _seconds(backend: Any, prompts: Sequence[Any], width: int) -> tuple[float, float]:
    """Wall time and processor time by example with so many under way."""
    waiting, decoding = iter(prompts), Decoding()

    async def worker() -> None:
        for prompt in waiting:
            await backend.generate([prompt], decoding)

    started, busy = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(width)))
    wall, cpu = time.perf_counter() - started, time.process_time() - busy
    return wall / len(prompts), cpu / len(prompts)


def main() -> None:
    """Start the server, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=64)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    role = load_plugins().role("ba")
    examples = [role.example(row) for row in rows()[: options.examples]]
    spawn = multiprocessing.get_context("spawn")
    asked, url, done = spawn.Value("i", 0), spawn.Queue(), spawn.Event()
    server = spawn.Process(target=serve, args=(asked, url, done), daemon=True)
    server.start()
    try:
        address = url.get(timeout=60)
        asyncio.run(generating(examples, options.rounds))
        optimizing(address, asked, examples, options.rounds)
    finally:
        done.set()
        server.join(timeout=30)


if __name__ == "__main__":
    main()
