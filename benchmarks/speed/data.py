"""How long the data commands take for files of any length, and that their memory does not grow.

Run it: .venv/bin/python benchmarks/speed/data.py [--lines 1000 10000] [--commands audit split]

With --folder DIR the data stays there and is made once, so that commands can be timed one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BAFT = [sys.executable, "-m", "baft", "-q", "data"]
SHARED = 0.05
"""Share of lines that nearly repeat an earlier one."""


def make_data(path: Path, n: int) -> None:
    """Lines of about 1.5 KB: every second word drawn anew, or an earlier line with a word changed.

    One in a hundred has ids that `fix` repairs.
    """
    source = ROOT / "artifacts" / "synthetic" / "ba_train_v2_fixed.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    words = sorted({word for row in rows for word in json.dumps(row["requirements"]).split()})
    words = [word for word in words if word.isalpha()]
    rng = random.Random(0)

    def reworded(text: str, share: float) -> str:
        return " ".join(rng.choice(words) if rng.random() < share else w for w in text.split())

    def made(row: dict, share: float) -> dict:
        document = dict(
            row["requirements"], description=reworded(row["requirements"]["description"], share)
        )
        for name in ("functional_requirements", "non_functional_requirements", "constraints"):
            document[name] = [
                dict(item, description=reworded(item["description"], share))
                for item in document[name]
            ]
        return dict(row, concept=reworded(row["concept"], share), requirements=document)

    recent: list[dict] = []
    with path.open("w", encoding="utf-8") as out:
        for i in range(n):
            if recent and rng.random() < SHARED:
                row = made(rng.choice(recent), 0.02)
            else:
                row = made(rng.choice(rows), 0.5)
                recent = [*recent[-99:], row]
            text = json.dumps(row, ensure_ascii=False)
            out.write((text.replace('"FR001"', '"FR1"') if i % 100 == 0 else text) + "\n")


def measured(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of CPU, and peak memory in MiB of a command."""
    started = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen([*BAFT, *command], stdout=nowhere, stderr=nowhere)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 2), command
    wall = time.perf_counter() - started
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """For each length: make the data, run each command, print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--commands", nargs="*", default=["stats", "fix", "audit", "split"])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.folder is not None:
        asked.folder.mkdir(parents=True, exist_ok=True)
    for n in asked.lines:
        with tempfile.TemporaryDirectory(dir=asked.folder) as name:
            path, new = Path(asked.folder or name) / f"data-{n}.jsonl", Path(name) / "new.jsonl"
            if not path.exists():
                make_data(path.with_suffix(".part"), n)
                path.with_suffix(".part").rename(path)
            print(f"{n} lines, {path.stat().st_size / 1e6:.0f} MB", flush=True)
            commands = {
                "stats": [str(path), "--json"],
                "fix": [str(path), "--output", str(new), "--json"],
                "audit": [str(path), "--json"],
                "split": [str(path), "--output", name, "--stratify", "tier,lang"],
            }
            for command in asked.commands:
                wall, cpu, memory = measured([command, *commands[command]])
                new.unlink(missing_ok=True)
                print(
                    f"  {command}: {wall:.1f} s, {cpu:.1f} s of CPU, {memory:.0f} MiB", flush=True
                )


if __name__ == "__main__":
    main()
