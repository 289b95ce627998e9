"""How each tool of ``peers.py`` runs the job, and where it leaves its scores.

Each as its documentation advises for many short requests to one OpenAI-compatible server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml
from servers import CONCURRENCY, ROOT, commands

JOBS = Path(__file__).parent / "peers-jobs"
DECODING = {"temperature": 0.7, "max_tokens": 2048, "seed": 42}
OFFLINE = {
    "DO_NOT_TRACK": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
}
"""What keeps each peer off the internet, by its own documentation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One evaluation to be run."""

    url: str
    """Of the server."""
    data: Path
    """The dataset."""
    folder: Path
    """An empty folder for everything that the tool writes."""
    peers: Path
    """Where the peers are installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A way to run the job."""

    package: str
    """What its version is that of."""
    home: str | None
    """Its folder under that of the peers; None for what stands in baft's own environment."""
    scorer: str
    """What computes the scores."""
    command: Callable[[Job], list[str]]
    """The command; prepares the files that it needs."""
    result: Callable[[Job, str], tuple[float, int | None]]
    """Mean and number of scores, from what it wrote and from its stdout; None: it tells no number,
    but fails when an example does."""

    def version(self, peers: Path) -> str | None:
        """Of the package; None where it is not installed."""
        home = peers / self.home if self.home else Path(sys.prefix)
        module = home / "node_modules" / self.package / "package.json"
        if module.is_file():
            return str(json.loads(module.read_text(encoding="utf-8"))["version"])
        where = [str(path) for path in home.glob("lib/python*/site-packages")]
        found = metadata.distributions(name=self.package, path=where)
        return next((one.version for one in found), None)


def servers_command(who: str) -> Callable[[Job], list[str]]:
    """As ``servers.py`` runs it."""
    return lambda job: commands("openai", job.url, job.data, job.folder)[who]


def baft_result(job: Job, out: str) -> tuple[float, int]:
    """From its report."""
    (arm,) = json.loads((job.folder / "report.json").read_text(encoding="utf-8"))["models"].values()
    return arm["scores"]["mean"], arm["scores"]["n"]


def inspect_command(job: Job) -> list[str]:
    """By its command line and its provider for OpenAI-compatible servers, nothing shown live."""
    shutil.copy(JOBS / "inspect_task.py", job.folder)
    decoding = [f"--{key.replace('_', '-')}={value}" for key, value in DECODING.items()]
    return [
        str(job.peers / "inspect/bin/inspect"), "eval", "inspect_task.py",
        "-T", f"data={job.data}", "--model", "openai-api/mock/tiny", "--model-base-url",
        f"{job.url}/v1", "--max-connections", str(CONCURRENCY), "--max-samples", str(CONCURRENCY),
        "--display", "none", "--no-score-display", "--no-log-realtime",
        "--log-dir", str(job.folder / "logs"), *decoding,
    ]  # fmt: skip


def inspect_result(job: Job, out: str) -> tuple[float, int]:
    """From its log, as its own command reads it."""
    (path,) = (job.folder / "logs").glob("*.eval")
    command = [str(job.peers / "inspect/bin/inspect"), "log", "dump", "--header-only", str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    (scores,) = found["results"]["scores"]
    return scores["metrics"]["mean"]["value"], scores["scored_samples"]


def lm_eval_command(job: Job) -> list[str]:
    """By its command line and a task in YAML."""
    shutil.copy(JOBS / "lm_eval_task.py", job.folder)
    task = f"""\
task: ba
dataset_path: json
dataset_kwargs: {{data_files: {{test: {job.data}}}}}
test_split: test
output_type: generate_until
doc_to_text: !function lm_eval_task.doc_to_text
doc_to_target: ""
process_results: !function lm_eval_task.process_results
generation_kwargs: {{until: ["<|none|>"], max_gen_toks: 2048, temperature: 0.7}}
metric_list: [{{metric: ba, aggregation: mean, higher_is_better: true}}]
"""
    (job.folder / "ba.yaml").write_text(task, encoding="utf-8")
    model = f"model=tiny,base_url={job.url}/v1/chat/completions,num_concurrent={CONCURRENCY}"
    return [
        str(job.peers / "lm-eval/bin/lm_eval"), "run", "--model", "local-chat-completions",
        "--model_args", f"{model},max_retries=3,tokenized_requests=False", "--tasks", "ba",
        "--include_path", str(job.folder), "--apply_chat_template", "--batch_size", "1",
        "--output_path", str(job.folder / "results"), "--log_samples",
    ]  # fmt: skip


def lm_eval_result(job: Job, out: str) -> tuple[float, int]:
    """From its results."""
    (path,) = (job.folder / "results").rglob("results_*.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["results"]["ba"]["ba,none"], found["n-samples"]["ba"]["effective"]


def promptfoo_command(job: Job) -> list[str]:
    """By its command line and a configuration."""
    from baft_ba.role import render

    rows = (json.loads(line) for line in job.data.open(encoding="utf-8"))
    tests = [{"vars": {"concept": row["concept"]}} for row in rows]
    (job.folder / "tests.json").write_text(json.dumps(tests), encoding="utf-8")
    (job.folder / "prompt.txt").write_text(render("{{concept}}"), encoding="utf-8")
    provider = {"apiBaseUrl": f"{job.url}/v1", "apiKey": "none", **DECODING}
    config = {
        "prompts": ["file://prompt.txt"],
        "providers": [{"id": "openai:chat:tiny", "config": provider}],
        "tests": "file://tests.json",
        "defaultTest": {
            "assert": [{"type": "javascript", "value": f"file://{JOBS / 'promptfoo_assert.cjs'}"}]
        },
    }
    path = job.folder / "promptfooconfig.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    modules = job.peers / "promptfoo" / "node_modules"
    node = next(modules.glob("node-*/bin/node"), "node")
    return [
        str(node), str(modules / ".bin/promptfoo"), "eval", "--config", str(path),
        "--max-concurrency", str(CONCURRENCY), "--no-cache", "--no-table", "--no-progress-bar",
        "--output", str(job.folder / "out.json"),
    ]  # fmt: skip


def promptfoo_result(job: Job, out: str) -> tuple[float, int]:
    """From its output file."""
    found = json.loads((job.folder / "out.json").read_text(encoding="utf-8"))["results"]["results"]
    scores = [one["score"] for one in found if not one.get("error")]
    return sum(scores) / len(scores), len(scores)


def dspy_result(job: Job, out: str) -> tuple[float, int]:
    """From what the job printed last."""
    found = json.loads(out.splitlines()[-1])
    return found["mean"], found["n"]


OWN = "ba_requirements"
TOOLS = {
    "aiohttp loop": Tool(
        package="aiohttp",
        home=None,
        scorer=OWN,
        command=servers_command("loop"),
        result=lambda job, out: (float(out), None),
    ),
    "baft": Tool(
        package="baft",
        home=None,
        scorer=OWN,
        command=servers_command("baft"),
        result=baft_result,
    ),
    "inspect_ai": Tool(
        package="inspect_ai",
        home="inspect",
        scorer=f"{OWN} in a scorer",
        command=inspect_command,
        result=inspect_result,
    ),
    "lm-eval": Tool(
        package="lm_eval",
        home="lm-eval",
        scorer=f"{OWN} in process_results",
        command=lm_eval_command,
        result=lm_eval_result,
    ),
    "promptfoo": Tool(
        package="promptfoo",
        home="promptfoo",
        scorer="the same rules in JavaScript",
        command=promptfoo_command,
        result=promptfoo_result,
    ),
    "dspy.Evaluate": Tool(
        package="dspy",
        home=None,
        scorer=f"{OWN} as metric",
        command=lambda job: [
            sys.executable, str(JOBS / "dspy_job.py"), job.url, str(job.data), str(CONCURRENCY),
        ],
        result=dspy_result,
    ),
}  # fmt: skip


def environment(tool: Tool, job: Job) -> dict[str, str]:
    """Without proxies; what the tool keeps goes to the job's folder."""
    found = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    found |= OFFLINE | {
        "DSPY_CACHEDIR": str(job.folder / "dspy"),
        "HF_HOME": str(job.folder / "hf"),
        "MOCK_API_KEY": "none",
        "OPENAI_API_KEY": "none",
        "PROMPTFOO_CONFIG_DIR": str(job.folder / "promptfoo"),
        "XDG_CACHE_HOME": str(job.folder / "cache"),
        "XDG_DATA_HOME": str(job.folder / "share"),
    }
    if tool.home:
        found["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT / "harness", ROOT / "plugins", JOBS)))
        found["NODE_PATH"] = str(job.peers / tool.home / "node_modules")
    return found
