"""The whole contest over many seeds: how often the order of the three arms holds.

``PYTHONPATH=harness:plugins python benchmarks/pocket/contest.py --runs build/contest --seeds 42 43
44`` runs ``baft compare pocket`` once for each seed that has no finished run yet and prints a table
of mean scores on the 22 validation examples, with the recall of the concepts' words.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import metric

ARMS = ("baseline", "optimized", "finetuned")
LEAST, GAIN, MARGIN = 0.8535, 0.08, 0.03


def compared(folder: Path, seed: int) -> dict[str, dict[str, object]]:
    """The report's models of one seed, from a finished run or a new one."""
    place = folder / f"seed-{seed}"
    reports = sorted(place.glob("*/report.json"))
    if not reports:
        command = ["compare", "pocket", "--seed", str(seed), "--output", str(place), "--json"]
        subprocess.run([sys.executable, "-m", "baft", *command], check=True, capture_output=True)
        reports = sorted(place.glob("*/report.json"))
    models: dict[str, dict[str, object]] = json.loads(reports[0].read_text())["models"]
    return models


def recall(model: dict[str, object]) -> float:
    """Mean share of the concept's content words that the answers of an arm have."""
    shares = [metric.recall(p["concept"], p["text"]) for p in model["predictions"]]  # type: ignore[attr-defined]
    return statistics.mean(shares)


def main() -> None:
    """Print one line for each seed and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(42, 52)))
    options = parser.parse_args()
    print("| seed | plain | optimized | fine-tuned | recall of the fine-tuned | in order |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = []
    for seed in options.seeds:
        models = compared(options.runs, seed)
        means = [float(models[arm]["scores"]["mean"]) for arm in ARMS]  # type: ignore[index]
        rows.append([*means, recall(models["finetuned"])])
        print(f"| {seed} | {' | '.join(f'{x:.3f}' for x in rows[-1])} | {verdict(means)} |")
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    print(f"| mean | {' | '.join(f'{x:.4f}' for x in means)} | {verdict(means[:3])} |")


def verdict(means: list[float]) -> str:
    """Whether plain < optimized < fine-tuned by the margins, and what the fine-tuned one misses."""
    plain, optimized, tuned = means
    if not plain < optimized < tuned:
        return "no"
    missed = [
        name
        for name, ok in (
            ("gain of the prompt", optimized - plain >= GAIN),
            ("margin of the fine-tune", tuned - optimized >= MARGIN),
            ("threshold", tuned >= LEAST),
        )
        if not ok
    ]
    return "yes, but " + ", ".join(missed) if missed else "yes"


if __name__ == "__main__":
    main()
