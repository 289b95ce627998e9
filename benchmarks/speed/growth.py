"""Memory and time of a run by its number of examples, with a backend that answers at once.

A run as `baft eval` does it: the examples are in the run's store; asking, scoring and storing are
measured, each size in a process of its own.

Run it: .venv/bin/python benchmarks/speed/growth.py [--examples 1000 10000 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from servers import rows

from baft import Decoding
from baft.engine import Job, run_arm, scoring_pool
from baft.loader import load_plugins
from baft.records import Limits
from baft.store import RunStore
from baft.testing import FakeBackend

CONCURRENCY = 32


def measure(n: int, folder: str, results: Any) -> None:
    """Run ``n`` examples; put seconds, seconds of CPU and MiB at the peak."""
    plugins = load_plugins()
    role = plugins.role("ba")
    metric = plugins.metric(role.metric)
    answer = role.target(role.example(rows()[0]))
    store = RunStore.open(Path(folder))
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
            await run_arm("model", FakeBackend(answer), job, store, pool)

    started, busy = time.perf_counter(), time.process_time()
    asyncio.run(run())
    wall, cpu = time.perf_counter() - started, time.process_time() - busy
    assert store.count("model") == n
    store.close()
    results.put((wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def fill(folder: Path, n: int) -> None:
    """A run's store with ``n`` examples."""
    role = load_plugins().role("ba")
    concepts = [row["concept"] for row in rows()]
    examples = [
        role.example({"id": str(i), "concept": f"{concepts[i % len(concepts)]} Variant {i}."})
        for i in range(n)
    ]
    (folder / "run.json").write_text("{}", encoding="utf-8")
    store = RunStore.open(folder)
    store.add_examples(examples, role.prompt)
    store.close()


def main() -> None:
    """Each size in turn, and its ratios to the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    context = multiprocessing.get_context("spawn")  # a peak of memory belongs to one process
    first = None
    for n in parser.parse_args().examples:
        with tempfile.TemporaryDirectory() as folder:
            filling = context.Process(target=fill, args=(Path(folder), n))
            filling.start()
            filling.join()
            results = context.Queue()
            process = context.Process(target=measure, args=(n, folder, results))
            process.start()
            wall, cpu, memory = results.get()
            process.join()
        first = first or memory
        print(
            f"{n} examples: {wall:.1f} s, {cpu:.1f} s of CPU, {wall / n * 1e3:.2f} ms each, "
            f"{memory:.0f} MiB, {memory / first:.2f} of the first",
            flush=True,
        )


if __name__ == "__main__":
    main()
