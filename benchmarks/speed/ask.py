"""How long ``baft ask --pipeline`` takes beyond its model: starting, and the way to a server.

Run it: .venv/bin/python benchmarks/speed/ask.py

The configuration is as a promotion writes it. An answer is one token of the pocket model at greedy
decoding; the same model, loaded and asked by transformers alone in a process of its own, is what
cannot be saved. ``served`` asks a running ``baft serve``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from baft.testing import FakeOpenAI

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "artifacts" / "models" / "pocket"
BAFT = str(Path(sys.executable).parent / "baft")
REQUEST = {"user": "CONCEPT:\nA bakery\n\nFollow the exact output format.", "max_tokens": 1}
PLAIN = f"""
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(POCKET)!r})
model = AutoModelForCausalLM.from_pretrained({str(POCKET)!r}, dtype="float32").eval()
ids = tokenizer("A bakery", return_tensors="pt").input_ids
with torch.inference_mode():
    model.generate(ids, max_new_tokens=1, do_sample=False)
"""
LOCAL = f"roles: {{ba: {{provider: huggingface_local, model: {POCKET}, temperature: 0}}}}\n"


def seconds(command: list[str], project: Path, *, answers: bool) -> float:
    """Wall time of one process; one token is no document, which is exit code 5."""
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=project, input=json.dumps(REQUEST).encode(), capture_output=True
    )
    taken = time.perf_counter() - started
    if done.returncode != (0 if answers else 5):
        sys.exit(done.stderr.decode())
    return taken


def main() -> None:
    """Measure in turns, so that a busy moment hits all alike; print medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    ask = [BAFT, "-q", "ask", "--role", "ba", "--pipeline"]
    times: dict[str, list[float]] = {"remote": [], "plain": [], "alone": [], "served": []}
    with tempfile.TemporaryDirectory() as folder, FakeOpenAI("title:") as fake:
        remote, local = Path(folder, "remote"), Path(folder, "local")
        for project in (remote, local):
            project.mkdir()
        (local / "config.yaml").write_text(LOCAL)
        (remote / "config.yaml").write_text(
            f"providers: {{openai: {{type: openai, base_url: '{fake.url}/v1'}}}}\n"
            "roles: {ba: {provider: openai, model: tiny}}\n"
        )
        serving = subprocess.Popen(
            [BAFT, "-q", "serve"], cwd=local, stdout=subprocess.PIPE, env=dict(os.environ)
        )
        try:
            assert serving.stdout is not None
            serving.stdout.readline()
            for _ in range(rounds):
                times["remote"].append(seconds(ask, remote, answers=False))
                times["plain"].append(seconds([sys.executable, "-c", PLAIN], local, answers=True))
                times["alone"].append(seconds([*ask, "--no-server"], local, answers=False))
                times["served"].append(seconds(ask, local, answers=False))
        finally:
            serving.terminate()
            serving.wait()
    medians = {name: statistics.median(found) for name, found in times.items()}
    for name, median in medians.items():
        print(f"{name:<7} {median:6.2f} s")
    print(f"alone beyond plain {medians['alone'] - medians['plain']:6.2f} s")


if __name__ == "__main__":
    main()
