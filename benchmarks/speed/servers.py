"""What asking a server through baft costs beside a hand-written aiohttp loop, against mock servers.

Three commands ask the same server, in a process of its own, for the same answers, so many at once,
and score them by the same role and metric:

- the loop, which prints the mean and keeps nothing;
- the run of baft, which keeps everything in its store: what ``baft eval`` does before it reports;
- ``baft eval``, which also audits the answers, draws charts and writes three reports.

Each is a process of its own, its start included. They take turns, and a ratio is the median of the
rounds' ratios, for machines are now fast, now slow; of seconds the least counts. What an example
costs is the difference to a run of few examples.

Run it: .venv/bin/python benchmarks/speed/servers.py [--examples 2000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CONCURRENCY = 32
FEW = 32
"""Examples of a run that is nearly all start and end: one for each request under way."""
Took = dict[tuple[str, int], list[tuple[float, float]]]
"""Seconds and seconds of CPU of every round, by who ran and how many examples."""

LISTS = ("functional_requirements", "non_functional_requirements", "constraints")


def rows() -> list[dict[str, Any]]:
    """The training data, with four items in each list, so that an answer has about 1.5 KB."""
    path = ROOT / "artifacts" / "synthetic" / "ba_train_v2_fixed.jsonl"
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in found:
        for name in LISTS:
            row["requirements"][name] = row["requirements"][name][:4]
    return found


def bodies(dialect: str) -> list[bytes]:
    """Whole HTTP replies to chat requests."""
    found = []
    for row in rows():
        text = yaml.safe_dump(row["requirements"], sort_keys=False, width=10**9)
        message = {"role": "assistant", "content": text}
        reply: dict[str, Any]
        if dialect == "ollama":
            reply = {"model": "tiny:latest", "message": message, "done": True}
            reply |= {"done_reason": "stop", "prompt_eval_count": 200, "eval_count": 400}
        else:
            reply = {"id": "x", "object": "chat.completion", "model": "tiny", "created": 1}
            reply["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            reply["usage"] = {"prompt_tokens": 200, "completion_tokens": 400, "total_tokens": 600}
        found.append(http(reply))
    return found


def http(reply: Any) -> bytes:
    """A reply as it goes over the wire."""
    body = json.dumps(reply).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


FACTS = {
    "/v1/models": {"object": "list", "data": [{"id": "tiny", "object": "model"}]},
    "/api/tags": {"models": [{"name": "tiny:latest", "digest": "0" * 64}]},
    "/api/show": {"template": "{{ .Prompt }}", "parameters": "", "details": {}},
    "/api/version": {"version": "0.0.0"},
}


class Mock(asyncio.Protocol):
    """One connection: requests with a length, one after another."""

    def __init__(self, replies: list[bytes], delay_s: float) -> None:
        self._replies, self._delay_s = replies, delay_s
        self._waiting = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request, after the delay where a model would have to think."""
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head = self._waiting[:end].decode("latin-1").lower()
            _, found, rest = head.partition("\r\ncontent-length:")
            length = int(rest.partition("\r\n")[0]) if found else 0
            if len(self._waiting) < end + 4 + length:
                return
            body, self._waiting = (
                self._waiting[end + 4 : end + 4 + length],
                self._waiting[end + 4 + length :],
            )
            path = head.split(" ", 2)[1]
            if path in FACTS:
                self._transport.write(http(FACTS[path]))
                continue
            reply = self._replies[hash(body) % len(self._replies)]
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._write, reply)
            else:
                self._transport.write(reply)

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)


def serve(dialect: str, delay_s: float, port: Any) -> None:
    """Answer until ended."""

    async def run() -> None:
        replies = bodies(dialect)
        server = await asyncio.get_running_loop().create_server(
            lambda: Mock(replies, delay_s), "127.0.0.1", 0
        )
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def hand_written(dialect: str, url: str, data: Path) -> None:
    """The loop that one would write: ask, parse, score, take the mean."""
    import aiohttp

    from baft import Generation
    from baft.loader import load_plugins

    plugins = load_plugins()
    role = plugins.role("ba")
    metric = plugins.metric(role.metric)
    examples = [role.example(json.loads(line)) for line in data.open(encoding="utf-8")]
    settings = {"temperature": 0.7, "seed": 42}

    async def run() -> list[float]:
        scores: list[float] = []
        waiting = iter(examples)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def worker() -> None:
                for example in waiting:
                    messages = [
                        {"role": m.role, "content": m.content}
                        for m in role.prompt(example).messages
                    ]
                    body: dict[str, Any] = {"model": "tiny", "messages": messages}
                    if dialect == "ollama":
                        body |= {"stream": False, "options": {**settings, "num_predict": 2048}}
                        path = "/api/chat"
                    else:
                        body |= {**settings, "max_tokens": 2048}
                        path = "/v1/chat/completions"
                    async with session.post(url + path, json=body) as response:
                        reply = await response.json()
                    found = reply if dialect == "ollama" else reply["choices"][0]
                    generation = Generation(example_id=example.id, text=found["message"]["content"])
                    prediction = role.parse(generation, "lenient")
                    scores.append(metric.score(example, prediction).value)

            await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
        return scores

    print(statistics.mean(asyncio.run(run())))


def run_of_baft(dialect: str, url: str, data: Path) -> None:
    """Ask, score and store by the engine, as ``baft eval`` does it; no report is written."""
    from baft import Decoding
    from baft.comparison import Asked, prepare
    from baft.execution import run
    from baft.loader import load_plugins
    from baft.records import Limits, Policy
    from baft.store import Benchmark

    plugins = load_plugins()
    role = plugins.role("ba")
    metric = plugins.metric(role.metric)
    benchmark = Benchmark(
        name="ba",
        version=1,
        role=role.name,
        dataset=str(data),
        metric=metric.name,
        metric_version=metric.version,
        decoding=Decoding(),
        policy=Policy(),
        models={"model": spec_of(dialect, url)},
    )
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(
            benchmark,
            data,
            Path(folder),
            plugins,
            plugins.context(env={}, role=role),
            Asked(limits=Limits(concurrency=CONCURRENCY), options={"no_cache": True}),
            project=Path(folder),
            warn=print,
        )
        problems = run(prepared, lambda progress: None)
        assert not problems, problems
        print(prepared.store.count("model"), "scored")
        prepared.store.close()


@contextmanager
def serving(dialect: str, delay_s: float) -> Iterator[str]:
    """The address of a mock server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    server = context.Process(target=serve, args=(dialect, delay_s, port), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=60)}"
    finally:
        server.terminate()
        server.join()


def measured(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of CPU and MiB at the peak of a command, its own children included."""
    started = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    took = time.perf_counter() - started
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def keep_bytecode() -> None:
    """Let processes that are started keep what they compile, as Python does unless told not to."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def make_data(path: Path, n: int) -> Path:
    """A dataset of ``n`` examples, whose word order keeps them apart from the training data."""
    concepts = [" ".join(reversed(row["concept"].split())) for row in rows()]
    with path.open("w", encoding="utf-8") as out:
        for i in range(n):
            concept = f"{concepts[i % len(concepts)]} Variant {i}."
            out.write(json.dumps({"id": str(i), "concept": concept}) + "\n")
    return path


def spec_of(dialect: str, url: str) -> str:
    """How baft is told of the server's model."""
    return f"ollama:tiny@{url}" if dialect == "ollama" else f"openai:tiny@{url}/v1"


def commands(dialect: str, url: str, data: Path, folder: Path) -> dict[str, list[str]]:
    """How each is run."""
    return {
        "loop": [sys.executable, __file__, "--loop", dialect, url, str(data)],
        "run": [sys.executable, __file__, "--run", dialect, url, str(data)],
        "baft": [
            sys.executable, "-m", "baft", "-q", "eval", "--model", spec_of(dialect, url),
            "--dataset", str(data), "--no-cache", "--concurrency", str(CONCURRENCY),
            "--runs", str(folder / "runs"), "--output", str(folder / "report.json"),
        ],
    }  # fmt: skip


def compare(dialect: str, delay_s: float, n: int, rounds: int) -> None:
    """Run all in turns; print the least of each and the median ratios to the loop."""
    took: Took = {}
    with tempfile.TemporaryDirectory() as name, serving(dialect, delay_s) as url:
        folder = Path(name)
        data = {count: make_data(folder / f"{count}.jsonl", count) for count in (FEW, n)}
        for _ in range(rounds):  # all in turns, so that a busy moment falls on each alike
            for count, path in data.items():
                for who, command in commands(dialect, url, path, folder).items():
                    took.setdefault((who, count), []).append(measured(command)[:2])
    title = f"{dialect} {delay_s * 1e3:.0f} ms"
    for who in ("loop", "run", "baft"):
        whole, few = ([min(turn[i] for turn in took[who, k]) for i in (0, 1)] for k in (n, FEW))
        print(
            f"{title}, {who}: {whole[0]:.2f} s, {whole[1]:.2f} s of CPU; with {FEW} examples "
            f"{few[0]:.2f} s, {few[1]:.2f} s of CPU; by example "
            f"{(whole[0] - few[0]) / (n - FEW) * 1e3:.2f} ms, "
            f"{(whole[1] - few[1]) / (n - FEW) * 1e3:.2f} ms of CPU",
            flush=True,
        )
    for who in ("run", "baft"):
        wall, cpu = (
            beside([turn[i] for turn in took[who, n]], [turn[i] for turn in took["loop", n]])
            for i in (0, 1)
        )
        each_wall, each_cpu = (
            beside(more(took, who, n, i), more(took, "loop", n, i)) for i in (0, 1)
        )
        print(
            f"{title}, {who}/loop: wall {wall:.2f}, CPU {cpu:.2f}, throughput {1 / wall:.2f}; by "
            f"example: wall {each_wall:.2f}, CPU {each_cpu:.2f}, throughput {1 / each_wall:.2f}",
            flush=True,
        )


def more(took: Took, who: str, n: int, i: int) -> list[float]:
    """By round, what all examples took beyond few."""
    return [a[i] - b[i] for a, b in zip(took[who, n], took[who, FEW], strict=True)]


def beside(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: in each, both ran one after the other."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    """Every dialect with every delay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dialects", nargs="+", default=["ollama", "openai"])
    parser.add_argument("--delays-ms", type=float, nargs="+", default=[50, 0])
    parser.add_argument("--loop", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    for who, given in ((hand_written, asked.loop), (run_of_baft, asked.run)):
        if given:
            who(given[0], given[1], Path(given[2]))
            return
    keep_bytecode()
    for dialect in asked.dialects:
        for delay_ms in asked.delays_ms:
            compare(dialect, delay_ms / 1e3, asked.examples, asked.rounds)


if __name__ == "__main__":
    main()
