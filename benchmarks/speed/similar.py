"""Near-duplicates among references: the search on disk beside the exact product and MinHash.

    .venv/bin/python benchmarks/speed/similar.py [--texts 2000 10000]

Prints CPU seconds, memory that a search added at its peak, and of the texts that are like an
earlier one how many came up. MinHash is measured where ``datasketch`` can be imported; baft does
not use it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import random
import resource
import tempfile
import time
from pathlib import Path

from baft.audit import NEAR_COPY, near_pairs, shingles, words_of
from baft.data.similar import Similar

ROOT = Path(__file__).parents[2]
CHANGED = (0.0, 0.02, 0.05, 0.1, 0.3, 0.9)
"""Shares of words that are exchanged, so that texts are alike to every degree."""


def make(n):
    source = ROOT / "artifacts" / "synthetic" / "ba_train_v2_fixed.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    base = [words_of(row["requirements"]) for row in rows]
    rng = random.Random(0)
    texts = []
    for _ in range(n):
        share = rng.choice(CHANGED)
        words = rng.choice(base)
        texts.append([f"w{rng.randrange(5000)}" if rng.random() < share else w for w in words])
    return texts


def exact(texts):
    return {later for later, _, _ in near_pairs(texts)}


def on_disk(texts):
    with tempfile.TemporaryDirectory() as folder:
        search = Similar(Path(folder), NEAR_COPY)
        for i, words in enumerate(texts):
            search.add(i, words)
        return {later for later, _, _ in search.pairs()}


def minhash(texts):
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(threshold=NEAR_COPY, num_perm=128), set()
    for i, words in enumerate(texts):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([" ".join(triple).encode() for triple in shingles(words)])
        if index.query(sketch):
            found.add(i)
        index.insert(i, sketch)
    return found


def measure(search, n, results):
    texts = make(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    found = search(texts)
    used = time.process_time() - started
    results.put((found, used, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, nargs="+", default=[2_000, 10_000])
    searches = [exact, on_disk]
    if importlib.util.find_spec("datasketch"):
        searches.append(minhash)
    context = multiprocessing.get_context("spawn")  # a peak of memory belongs to one process
    for n in parser.parse_args().texts:
        truth = set()
        for search in searches:
            results = context.Queue()
            process = context.Process(target=measure, args=(search, n, results))
            process.start()
            found, used, memory = results.get()
            process.join()
            truth = truth or found
            print(
                f"{n} texts, {search.__name__}: {used:.1f} s of CPU, {memory:.0f} MiB, "
                f"{len(found & truth)} of {len(truth)} found, {len(found - truth)} wrongly",
                flush=True,
            )


if __name__ == "__main__":
    main()
