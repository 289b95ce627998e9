"""Real processes that are broken off, crash or lose their server: what is said, what is kept."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from baft.cli.common import State
from baft.cli.progress import RunProgress
from baft.engine import Progress
from baft.testing import FakeOllama, Fault

PLUGIN = """
import asyncio, ctypes, os, resource, sys
import baft

class Slow:
    batch_size, max_concurrency = 1, 1
    def __init__(self, target, context):
        self.spec, self.n = f"{type(self).__name__.lower()}:{target}", 0
    def fingerprint(self):
        return "slow"
    def describe(self):
        return {"cache": False}
    async def generate(self, prompts, decoding):
        self.n += 1
        if self.n > 3 and "FAST" not in os.environ:
            await asyncio.sleep(60)
        return [baft.Generation(example_id=p.example_id, text="title: x", completion_tokens=2)
                for p in prompts]
    async def close(self):
        pass

class Crashing(Slow):
    "Computes in its process, and on its third call does what its name says."
    def describe(self):
        return {"cache": False, "in_process": True}
    async def generate(self, prompts, decoding):
        self.n += 1
        if self.n == 3:
            what = self.spec.partition(":")[2]
            if what == "segfault":
                ctypes.string_at(0)
            if what == "abort":
                os.abort()
            if what == "memory":
                resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
                bytearray(1 << 32)
        return [baft.Generation(example_id=p.example_id, text="title: x") for p in prompts]

@baft.hookimpl
def baft_register_backends(register):
    register("slow", Slow)
    register("crashing", Crashing)
"""


@pytest.fixture
def env(project):
    """The environment of a process that finds the plugin."""
    (project / "odd_plugin.py").write_text(PLUGIN)
    info = project / "odd-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[baft]\nodd = odd_plugin\n")
    return {**os.environ, "PYTHONPATH": str(project)}


def compare(*models):
    return [sys.executable, "-m", "baft", "compare", "small", *models]


def run_of(project):
    (found,) = (project / "artifacts" / "runs").iterdir()
    return found


def results(project, arm="baseline"):
    for store in project.glob("artifacts/runs/*/run.db"):
        db = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        try:
            query = "SELECT COUNT(*) FROM results WHERE arm = ?"
            return db.execute(query, (arm,)).fetchone()[0]
        except sqlite3.OperationalError:
            return 0
        finally:
            db.close()
    return 0


def wait_for(project, count):
    deadline = time.monotonic() + 60
    while results(project) < count and time.monotonic() < deadline:
        time.sleep(0.05)


SLOW = ("--baseline", "slow:x", "--finetuned", "good.jsonl")


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_run_broken_off_says_how_far_it_is_and_goes_on(project, env, sent):
    process = subprocess.Popen(compare(*SLOW), env=env, stderr=subprocess.PIPE, text=True)
    wait_for(project, 3)
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.search(r"^baseline   3 of 22 done, mean 0\.\d{4} \(n = 3\), .* tok/s$", err, re.M)
    assert re.search(r"^finetuned  0 of 22 done$", err, re.M)
    resume = f"artifacts/runs/{run_of(project).name}"
    assert err.splitlines()[-1] == f"interrupted; go on with: baft compare --resume {resume}"
    report = subprocess.run(
        [sys.executable, "-m", "baft", "report", "last"],
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert report.returncode == 0, report.stderr
    assert "baseline" in report.stdout
    done = subprocess.run(
        [sys.executable, "-m", "baft", "compare", "--resume", resume],
        env={**env, "FAST": "1"},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert (results(project), results(project, "finetuned")) == (22, 22)


def test_on_a_terminal_the_bars_make_way_for_the_summary(project, env):
    main, terminal = pty.openpty()
    process = subprocess.Popen(compare(*SLOW), env=env, stderr=terminal, stdout=terminal)
    os.close(terminal)
    wait_for(project, 3)
    process.send_signal(signal.SIGINT)
    shown = b""
    while select.select([main], [], [], 30)[0]:
        try:
            shown += os.read(main, 65536)
        except OSError:  # the other end is closed
            break
    assert process.wait(30) == 130
    lines = shown.decode(errors="replace").replace("\r", "").splitlines()
    assert lines[-1].startswith("interrupted; go on with: baft compare --resume ")
    back = "\x1b[?25h"  # the cursor, which the bars had hidden
    assert lines[-3].startswith(f"{back}baseline   3 of 22 done, mean 0.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("segfault", "was ended by SIGSEGV"),
        ("abort", "was ended by SIGABRT"),
    ],
)
def test_a_crash_in_a_model_ends_its_arm_and_not_the_run(project, env, how, said):
    models = ("--baseline", f"crashing:{how}", "--finetuned", "good.jsonl")
    done = subprocess.run(compare(*models), env=env, capture_output=True, text=True, timeout=90)
    assert done.returncode == 5, done.stderr
    assert f"baseline stopped answering: The process that ran crashing:{how} {said}" in done.stderr
    assert "go on with: baft compare --resume artifacts/runs/" in done.stderr
    assert results(project, "finetuned") == 22
    assert 0 < results(project) < 22
    assert (run_of(project) / "report.html").is_file()


@pytest.mark.slow
def test_memory_that_runs_out_fails_one_example_or_the_arm(project, env):
    """Where Python notices, it is one example; the kernel's way, SIGKILL, is tested elsewhere."""
    models = ("--baseline", "crashing:memory", "--finetuned", "good.jsonl")
    subprocess.run(compare(*models), env=env, capture_output=True, text=True, timeout=90)
    report = json.loads((run_of(project) / "report.json").read_text())
    assert report["models"]["finetuned"]["scores"]["n"] == 22
    failures = report["models"]["baseline"]["failures"].values()
    assert any("MemoryError" in reason for reason in failures)
    assert report["models"]["baseline"]["usage"]["peak_memory_bytes"] > 10 << 20
    assert report["models"]["finetuned"]["usage"]["peak_memory_bytes"] is None


def test_a_server_that_goes_away_leaves_the_other_arms_and_a_command(project, baft, monkeypatch):
    monkeypatch.setattr("baft.executors.asking.PAUSE", 0.1)
    text = "title: A shop\ndescription: Sells bread."

    def answer(asked):
        return text if len(server.requests) <= 9 else Fault.DROPPED

    with FakeOllama(answer) as server:
        spec = f"ollama:mistral:7b-instruct@{server.url}"
        models = ("--baseline", spec, "--finetuned", "good.jsonl")
        few = ("--retries", "0", "--concurrency", "2", "--no-cache")
        code, _, err = baft("compare", "small", *models, *few)
        assert code == 5
        said = r"baseline stopped answering: [56] requests in a row failed: The answer of"
        assert re.search(said, err)
        command = f"baft compare --resume artifacts/runs/{run_of(project).name}"
        assert command in err
        assert (results(project), results(project, "finetuned")) == (9, 22)
        assert len(server.requests) < 9 + 8
        server.answers = text
        asked = len(server.requests)
        assert baft("compare", "--resume", run_of(project))[0] == 0
        assert len(server.requests) - asked == 22 - 9
    assert results(project) == 22


def test_progress_says_pace_and_time_left_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr("baft.cli.progress.PLAIN_EVERY_S", -1.0)
    progress = Progress(arm="a", total=40, done=30, before=10, failed=2, retried=3, tokens=600)
    progress.started -= 60  # twenty in a minute, ten to go
    with RunProgress(State()) as shown:
        shown(progress)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("a: 30/40 ")
    assert re.fullmatch(r"a: 30/40 10 tok/s, 2 failed, 3 retried, (30|29)\.\d s left", line)


def test_before_anything_came_back_nothing_tells_the_time_left():
    assert Progress(arm="a", total=40, done=10, before=10).left_s is None
    assert Progress(arm="a", total=10, done=10).left_s is None


WHILE_IMPORTING = """
import os, runpy, signal, sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Impatient())
sys.argv = ["baft", "--version"]
runpy.run_module("baft", run_name="__main__")
"""


def test_ctrl_c_while_it_still_starts_ends_it_without_a_traceback():
    done = subprocess.run([sys.executable, "-c", WHILE_IMPORTING], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_where_ctrl_c_is_ignored_it_stays_so():
    quiet = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    command = [sys.executable, "-c", quiet + WHILE_IMPORTING]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("baft ")
