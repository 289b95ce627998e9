"""Memory and time of a run by its number of examples, with a model that answers at once.

First asking, scoring and storing alone (the examples are in the run's store, the model is a
function in this process), each size in a process of its own; then the whole of `baft eval` against
a mock server, from reading the dataset to the last report. Peaks are those of the main process.

Run it: .venv/bin/python benchmarks/speed/growth.py [--examples 1000 10000 100000] [--parts engine]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from servers import commands, make_data, measured, rows, serving

from baft import Decoding, Generation, Prompt
from baft.engine import Job, run_arm, scoring_pool
from baft.loader import load_plugins
from baft.records import Limits
from baft.store import RunStore
from baft.store.datasets import read_examples
from baft.testing import FakeBackend

CONCURRENCY = 32


class Answering(FakeBackend):
    """Answers at once, and unlike its parent remembers nothing that it was asked."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self._answer = answer

    async def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """The same answer to each."""
        return [Generation(example_id=p.example_id, text=self._answer) for p in prompts]


def engine(n: int, folder: Path, results: Any) -> None:
    """Run ``n`` examples; put seconds, seconds of CPU and MiB at the peak."""
    plugins = load_plugins()
    role = plugins.role("ba")
    metric = plugins.metric(role.metric)
    answer = role.target(role.example(rows()[0]))
    store = RunStore.open(folder)
    job = Job(
        role=role,
        metric=metric,
        num_examples=n,
        decoding=Decoding(),
        limits=Limits(concurrency=CONCURRENCY),
        extraction="lenient",
    )

    async def run() -> None:
        with scoring_pool(job) as pool:
            await run_arm("model", Answering(answer), job, store, pool)

    started, busy = time.perf_counter(), time.process_time()
    asyncio.run(run())
    wall, cpu = time.perf_counter() - started, time.process_time() - busy
    assert store.count("model") == n
    store.close()
    results.put((wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def fill(folder: Path, n: int) -> None:
    """A run's store with ``n`` examples."""
    role = load_plugins().role("ba")
    (folder / "run.json").write_text("{}", encoding="utf-8")
    store = RunStore.open(folder)
    store.add_examples(read_examples(make_data(folder / "data.jsonl", n), role), role.prompt)
    store.close()


def of_engine(n: int) -> tuple[float, float, float]:
    """Asking, scoring and storing, each size in a process: a peak of memory belongs to one."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filling = context.Process(target=fill, args=(folder, n))
        filling.start()
        filling.join()
        process = context.Process(target=engine, args=(n, folder, results))
        process.start()
        found: tuple[float, float, float] = results.get()
        process.join()
    return found


def of_eval(n: int) -> tuple[float, float, float]:
    """The whole of ``baft eval`` against a server that answers at once."""
    with tempfile.TemporaryDirectory() as name, serving("ollama", 0.0) as url:
        folder = Path(name)
        data = make_data(folder / "data.jsonl", n)
        return measured(commands("ollama", url, data, folder)["baft"])


PARTS = {"engine": of_engine, "eval": of_eval}


def main() -> None:
    """Each part with each size in turn, and its ratios to the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=[*PARTS])
    asked = parser.parse_args()
    for part in asked.parts:
        first = None
        for n in asked.examples:
            wall, cpu, memory = PARTS[part](n)
            first = first or memory
            print(
                f"{part}, {n} examples: {wall:.1f} s, {cpu:.1f} s of CPU, {wall / n * 1e3:.2f} ms "
                f"each, {memory:.0f} MiB, {memory / first:.2f} of the first",
                flush=True,
            )


if __name__ == "__main__":
    main()
