"""What the metric audit costs at 10,000 examples, and whether MinHash would be faster.

    .venv/bin/python benchmarks/speed/audit.py [--examples 10000] [--training 50000]

Prints CPU seconds. MinHash is measured where ``datasketch`` can be imported; baft does not use it.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import time

from baft import Example, Prediction, Score
from baft.audit import Answer, audit_arm
from baft.audit.leaks import shared
from baft.audit.text import shingles, words_of
from baft.store.lineage import Source


class Structure:
    """A metric that costs nothing."""

    name, version, higher_is_better, attainable_max = "structure", 1, True, 1.0
    components = {"all": 1.0}  # noqa: RUF012 - as plugins write it

    def score(self, example, prediction):
        """All or nothing."""
        return Score(value=1.0 if prediction.fields else 0.0)


def make(n, prefix, rng):
    """Examples whose words are as unequally common as in a language."""

    def text(length):
        words = (f"w{int(20_000 * rng.random() ** 3):05d}" for _ in range(length))
        return "users want a web app for " + " ".join(words)

    return tuple(
        Example(
            id=f"{prefix}{i}", inputs={"concept": text(20)}, reference={"description": text(120)}
        )
        for i in range(n)
    )


def timed(what, work):
    started = time.process_time()
    found = work()
    print(f"{what:<50}{time.process_time() - started:8.1f} s")
    return found


def minhash(examples, training):
    from datasketch import MinHash, MinHashLSH

    def sketch(example):
        found = MinHash(num_perm=128)
        found.update_batch([" ".join(s).encode() for s in shingles(words_of(example.inputs))])
        return found

    index = MinHashLSH(threshold=0.5, num_perm=128)
    for i, example in enumerate(training):
        index.insert(i, sketch(example))
    return sum(bool(index.query(sketch(example))) for example in examples)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--training", type=int, default=50_000)
    asked = parser.parse_args()
    rng = random.Random(0)
    examples, training = make(asked.examples, "v", rng), make(asked.training, "t", rng)
    print(f"{asked.examples} examples, {asked.training} training examples, one arm")
    timed("overlap of inputs, exact", lambda: shared(examples, training))
    if importlib.util.find_spec("datasketch"):
        timed("overlap of inputs, MinHash of datasketch", lambda: minhash(examples, training))
    predictions = [Prediction(fields=e.reference, validity="as_is") for e in examples]
    answers = [
        Answer(example=e, prediction=p, score=1.0)
        for e, p in zip(examples, predictions, strict=True)
    ]
    source = Source(use="trained", name="training", examples=training)
    timed("whole audit", lambda: audit_arm(answers, Structure(), [source], examples=examples))


if __name__ == "__main__":
    main()
