"""How often the metric audit is wrong: false alarms on honest answers, misses on the others.

    .venv/bin/python benchmarks/audit_errors.py [--seeds 200]

Honest answers are references: of the datasets in ``artifacts/synthetic/``, and of 22 booking tools
in English and Spanish (``audit_one_kind.jsonl``). Every seed draws 22 examples and takes each list
field out of an honest answer with probability 0.3, as a model loses them. Each dishonest arm is
made of the same 22 examples. A share that was never seen in s seeds lies below 3/s with 95 %
confidence.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path

from baft import Prediction
from baft.audit import Answer, audit_arm
from baft.audit.nulls import template
from baft.audit.text import words_of
from baft.loader import load_plugins
from baft.store import read_dataset
from baft.store.lineage import Source

ROOT = Path(__file__).parents[1]
CHECKS = ("relevance", "fit", "near_copies", "training_copies", "floor")
N = 22


def answers(examples, outputs, metric):
    """The arm that gives these outputs."""
    predictions = [Prediction(fields=output, validity="as_is") for output in outputs]
    return [
        Answer(example=e, prediction=p, score=metric.score(e, p).value)
        for e, p in zip(examples, predictions, strict=True)
    ]


def weakened(reference, rng):
    """An honest answer with some lists lost."""
    return {k: v for k, v in reference.items() if not isinstance(v, list) or rng.random() >= 0.3}


def nearest(example, training):
    """The training answer whose inputs have most words in common."""
    words = set(words_of(example.inputs))
    return max(training, key=lambda t: len(words & set(words_of(t.inputs)))).reference


def pasted(form, reference, concept, *, everywhere):
    """A template with the example's title in it, or with title and concept in every text."""
    title = reference["title"]
    if not everywhere:
        return {**form, "title": title}
    lists = {
        key: [{**item, "description": f"{title}: {item['description']}"} for item in value]
        for key, value in form.items()
        if isinstance(value, list)
    }
    return {**form, **lists, "title": title, "description": f"{concept} {form['description']}"}


def arms(examples, training, rng):
    """Every arm by name: outputs in the order of the examples."""
    honest = [weakened(e.reference, rng) for e in examples]
    one = rng.choice(training).reference
    forms = [t.reference for t in rng.sample(training, 4)]
    concepts = [e.inputs["concept"] for e in examples]
    dealt = [*honest[1:], honest[0]]
    pairs = list(zip(examples, concepts, strict=True))
    dishonest = {
        "filler template": [template([t.reference for t in training])] * N,
        "one training answer": [one] * N,
        "title pasted into a template": [
            pasted(one, e.reference, c, everywhere=False) for e, c in pairs
        ],
        "title and concept pasted everywhere": [
            pasted(one, e.reference, c, everywhere=True) for e, c in pairs
        ],
        "four templates in turn, pasted": [
            pasted(forms[i % 4], e.reference, c, everywhere=True) for i, (e, c) in enumerate(pairs)
        ],
        "honest answers, shuffled": dealt,
        "different training answers": [t.reference for t in rng.sample(training, N)],
        "nearest training answer": [nearest(e, training) for e in examples],
        "nearest training answer, pasted": [
            pasted(nearest(e, training), e.reference, c, everywhere=True) for e, c in pairs
        ],
        "empty": [{}] * N,
    }
    chosen = rng.sample(range(N), N // 2)
    half = set(chosen)
    swapped = dict(zip(chosen, [*chosen[1:], chosen[0]], strict=True))
    mixtures = {
        f"half honest, half {name}": [o if i in half else honest[i] for i, o in enumerate(given)]
        for name, given in dishonest.items()
        if name not in ("empty", "honest answers, shuffled")
    }
    mixtures["half honest, half shuffled"] = [honest[swapped.get(i, i)] for i in range(N)]
    return {"honest": honest}, dishonest | mixtures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    plugins = load_plugins()
    role, metric = plugins.role("ba"), plugins.metric("ba_requirements")
    data = {
        name: list(read_dataset(ROOT / path, role).examples)
        for name, path in (
            ("train", "artifacts/synthetic/ba_train_v2_fixed.jsonl"),
            ("val", "artifacts/synthetic/ba_val_v2_fixed.jsonl"),
            ("one kind", "benchmarks/audit_one_kind.jsonl"),
        )
    }
    failed: dict[tuple[str, str], Counter[str]] = {}
    for seed in range(asked.seeds):
        rng = random.Random(seed)
        mixed = rng.sample(data["train"] + data["val"], N)
        for kind, examples in (("mixed", mixed), ("one kind", data["one kind"])):
            known = {e.id for e in examples}
            training = [e for e in data["train"] if e.id not in known]
            rng.shuffle(training)
            source = Source(use="trained", name="train", examples=tuple(training))
            honest, dishonest = arms(examples, training, rng)
            for name, outputs in (honest | dishonest).items():
                tried = answers(examples, outputs, metric)
                audit = audit_arm(tried, metric, [source], seed=seed)
                found = {f.name for f in audit.findings if not f.passed}
                counted = failed.setdefault((kind, name), Counter())
                counted.update([*found, *(["any"] if found else [])])
    show(failed, asked.seeds, as_json=asked.json)


def show(failed, seeds, *, as_json):
    """Shares of seeds in which each check fails; ``wrong`` is the false alarm or the miss."""
    rows = [
        {
            "examples": kind,
            "arm": name,
            **{check: found[check] / seeds for check in CHECKS},
            "wrong": found["any"] / seeds if name == "honest" else 1 - found["any"] / seeds,
        }
        for (kind, name), found in failed.items()
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"Share of {seeds} seeds in which a check fails; wrong: false alarm or miss.\n")
    print(f"| examples | arm | {' | '.join(CHECKS)} | wrong |")
    print("| --- | --- |" + " ---: |" * (len(CHECKS) + 1))
    for row in rows:
        shares = " | ".join(f"{row[check]:.3f}" for check in (*CHECKS, "wrong"))
        print(f"| {row['examples']} | {row['arm']} | {shares} |")


if __name__ == "__main__":
    main()
