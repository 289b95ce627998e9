"""How fast three replays of 10,000 text answers each are compared, and in how much memory.

Run it: .venv/bin/python benchmarks/speed/replays.py [--examples 10000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def make_data(folder: Path, n: int) -> None:
    """A dataset of ``n`` examples and three replays with answers of about 1.5 KB."""
    source = ROOT / "artifacts" / "synthetic" / "ba_train_v2_fixed.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    answers = []
    for row in rows:
        document = row["requirements"]
        for key in ("functional_requirements", "non_functional_requirements", "constraints"):
            document[key] = document[key][:4]
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10**9)
        answers.append(text)
    print(f"mean answer: {sum(len(a.encode()) for a in answers) / len(answers):.0f} bytes")
    with (folder / "data.jsonl").open("w", encoding="utf-8") as data:
        for i in range(n):
            concept = f"{rows[i % len(rows)]['concept']} Variant {i}."
            data.write(json.dumps({"id": str(i), "concept": concept}) + "\n")
    for arm in range(3):
        with (folder / f"arm{arm}.jsonl").open("w", encoding="utf-8") as out:
            for i in range(n):
                text = answers[(i + arm) % len(answers)].replace("the", f"the v{i}", 1)
                text = f"Here it is:\n```yaml\n{text}```\n" if arm == 1 else text
                out.write(json.dumps({"id": str(i), "output": text}) + "\n")


def main() -> None:
    """Make the data, compare once, print examples a second and peak memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=10_000)
    n = parser.parse_args().examples
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder, n)
        command = [
            sys.executable, "-m", "baft", "compare", "ba", "-q",
            "--dataset", str(folder / "data.jsonl"), "--output", str(folder / "runs"),
            "--baseline", f"replay:{folder / 'arm0.jsonl'}",
            "--optimized", f"replay:{folder / 'arm1.jsonl'}",
            "--finetuned", f"replay:{folder / 'arm2.jsonl'}",
        ]  # fmt: skip
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.05)
        wall = time.perf_counter() - started
        arms = json.loads(next(folder.glob("runs/*/report.json")).read_text(encoding="utf-8"))
        scored = sum(m["usage"]["wall_s"] for m in arms["models"].values())
    print(f"{3 * n} examples: scored at {3 * n / scored:.0f} examples/s ({scored:.1f} s); "
          f"start to reports {wall:.1f} s ({3 * n / wall:.0f} examples/s)")  # fmt: skip
    print(f"peak memory, all processes: {peak / 2**20:.0f} MiB")


def tree_memory(pid: int) -> int:
    """Proportional memory of a process and its children in bytes (Linux)."""
    total = 0
    pids = [pid]
    while pids:
        one = pids.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += 1024 * int(rollup.split("Pss:")[1].split()[0])
            pids += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except (OSError, IndexError):
            continue
    return total


if __name__ == "__main__":
    main()
