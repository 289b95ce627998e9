"""``baft optimize`` as a user runs it: honest selection, budget, kill and resume, over a server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from baft import testing
from baft.testing import Answer, FakeOllama, FakeOpenAI

pytest.importorskip("dspy", reason="baft[dspy] is not installed")
pytest.importorskip("optuna")
pytest.importorskip("aiohttp", reason="the fake servers need it")
pytest.importorskip("openai", reason="baft[openai] is not installed")

ITEM = (
    "- {{id: {0}001, description: d, priority: High}}\n"
    "- {{id: {0}002, description: d, priority: Low}}"
)
FIELDS = {
    "title": "A fitting title",
    "description": "A description that is long enough to count. " * 3,
    "functional_requirements": ITEM.format("FR"),
    "non_functional_requirements": ITEM.format("NFR"),
    "constraints": ITEM.format("C"),
}


def reply(asked: testing.Asked) -> str:
    """Leaves fields out unless the instructions are explicit; demonstrations help a little."""
    told = str(asked.body["messages"][0]["content"])
    left = 5 if "What each field must be" in told else 2 + (len(asked.body["messages"]) > 2)
    texts = [f"[[ ## {name} ## ]]\n{text}" for name, text in list(FIELDS.items())[:left]]
    return "\n\n".join([*texts, "[[ ## completed ## ]]"])


@pytest.fixture
def train(project):
    """Twelve training examples, of two tiers, in the project."""
    rows = [json.loads(line) for line in (project / "val.jsonl").read_text("utf-8").splitlines()]
    path = project / "train.jsonl"
    words = ["boats", "trains", "birds", "stamps", "clocks", "rivers", "lamps", "songs", "maps"]
    words += ["coins", "roses", "tides"]
    with path.open("w", encoding="utf-8") as out:
        for number, (row, word) in enumerate(zip(rows, words, strict=False)):
            row["concept"] = f"A register of {word} for collectors, number {number}."
            kept = {"concept": row["concept"], "requirements": row["requirements"]}
            kept["tier"] = "simple" if number % 2 else "medium"
            out.write(json.dumps(kept) + "\n")
    return path


def flags(server, *more, output="out"):
    return [
        "optimize", "--train", "train.jsonl", "--lm", f"openai:tiny@{server.url}/v1",
        "--output", output, "--num-candidates", "4", "--num-trials", "4", "--no-propose",
        "--max-bootstrapped-demos", "1", "--max-labeled-demos", "1", "--demo-threshold", "0.1",
        "--threads", "2", *more,
    ]  # fmt: skip


def info_of(folder) -> dict:
    return json.loads((folder / "optimization_info.json").read_text("utf-8"))


def test_a_search_from_end_to_end(project, train, baft):
    with FakeOpenAI(reply) as server:
        code, out, err = baft(*flags(server))
        assert code == 0, err
        info = info_of(project / "out")
        assert info["calls"] == len(server.requests)
    assert "estimate: at most 5 trials and" in err
    assert "optimize: 5/5 score" in err
    assert re.search(r"optimize: 2/5 score .* best .* calls .* tokens \d+, \d+ (s|min) left", err)
    assert "Trial" in out
    assert "expect less on others" in out
    assert info["improved"]
    assert info["select_on_val"] is False
    assert info["data"]["val"]["n"] == 2
    assert info["data"]["train"]["n"] == 10
    assert "tier in proportion" in info["data"]["val"]["how"]
    assert info["arguments"]["command"].startswith("baft optimize --train train.jsonl")
    assert info["estimate"]["measured"]["tokens"] > 0
    assert not (project / "out" / "search.jsonl").exists()


def test_a_prompt_model_on_another_kind_of_server(project, train, baft):
    with FakeOpenAI(reply) as server, FakeOllama("no field at all") as other:
        more = ("--propose", "--prompt-lm", f"ollama:mistral:7b-instruct@{other.url}")
        code, _, err = baft(*flags(server, *more))
        assert code == 0, err
        assert other.requests
    info = info_of(project / "out")
    assert info["prompt_lm"].startswith("ollama:")
    assert info["prompt_lm_fingerprint"] != info["lm_fingerprint"]
    assert info["proposals_dropped"] > 0


@pytest.mark.parametrize("where", ["--val", "--train"])
def test_the_set_that_a_benchmark_measures_on_is_refused(project, train, baft, where):
    (project / "copy.jsonl").write_bytes((project / "val.jsonl").read_bytes())
    with FakeOpenAI(reply) as server:
        code, _, err = baft(*flags(server, where, "copy.jsonl"))
        assert code == 2
        assert "copy.jsonl is what the benchmark 'small' measures on" in err
        assert "--select-on-val" in err
        assert not server.requests
        code, _, err = baft(*flags(server, where, "copy.jsonl", "--select-on-val"))
    assert code == 0, err
    assert info_of(project / "out")["select_on_val"] is True


def test_one_training_example_cannot_be_split_and_two_can(project, train, baft):
    lines = train.read_text("utf-8").splitlines(keepends=True)
    with FakeOpenAI(reply) as server:
        train.write_text(lines[0], "utf-8")
        code, _, err = baft(*flags(server))
        assert (code, "holds one example" in err, "--val" in err) == (2, True, True)
        for count in (2, 3):
            train.write_text("".join(lines[:count]), "utf-8")
            code, _, err = baft(*flags(server, output=f"out{count}"))
            assert code == 0, err
            assert info_of(project / f"out{count}")["data"]["val"]["n"] == 1


def test_an_empty_file_to_select_on(project, train, baft):
    (project / "none.jsonl").write_text("")
    with FakeOpenAI(reply) as server:
        code, _, err = baft(*flags(server, "--val", "none.jsonl"))
    assert code == 2
    assert "none.jsonl holds no example" in err


def test_a_budget_of_calls_ends_the_search_and_a_larger_one_goes_on(project, train, baft):
    with FakeOpenAI(reply) as server:
        whole = baft(*flags(server, output="whole"))
        spent = len(server.requests)
        assert whole[0] == 0
        server.requests.clear()
        code, out, err = baft(*flags(server, "--max-calls", "12"))
        assert code == 0, err
        assert len(server.requests) == 12
        assert "stopped: the budget of 12 calls is spent" in err
        assert "Stopped early: the budget of 12 calls is spent." in out
        cut = info_of(project / "out")
        assert cut["stopped"]
        assert cut["trials"]
        assert cut["calls"] == 12
        assert baft(*flags(server, "--max-calls", "99"))[0] == 2
        code, out, err = baft(*flags(server, "--max-calls", "99", "--resume"))
        assert code == 0, err
        assert len(server.requests) == spent
    resumed, unbroken = info_of(project / "out"), info_of(project / "whole")
    assert (resumed["stopped"], resumed["resumed_answers"]) == (None, 12)
    assert (project / "out" / "program.json").read_bytes() == (
        project / "whole" / "program.json"
    ).read_bytes()
    assert resumed["calls"] == unbroken["calls"]
    assert resumed["prompt_tokens"] == unbroken["prompt_tokens"]


@pytest.mark.parametrize(
    ("limit", "said"),
    [(("--max-tokens-total", "3000"), "3000 tokens"), (("--max-minutes", "0.0001"), "minutes")],
)
def test_budgets_of_tokens_and_minutes(project, train, baft, limit, said):
    with FakeOpenAI(reply) as server:
        code, out, err = baft(*flags(server, *limit))
    assert code == 0, err
    assert f"{said} is spent" in out.replace("0.0001 ", "")
    assert (project / "out" / "program.json").is_file()


def test_a_budget_below_the_baseline_is_refused(project, train, baft):
    with FakeOpenAI(reply) as server:
        code, _, err = baft(*flags(server, "--val", "val.jsonl", "--select-on-val",
                                   "--max-calls", "5"))  # fmt: skip
        assert not server.requests
    assert code == 2
    assert "takes 22 calls" in err


def test_a_resumed_search_must_be_the_one_begun(project, train, baft):
    with FakeOpenAI(reply) as server:
        assert baft(*flags(server, "--resume"))[0] == 2
        assert baft(*flags(server, "--max-calls", "9"))[0] == 0
        code, _, err = baft(*flags(server, "--resume", "--seed", "7", "--temperature", "0.1"))
        assert code == 2
        assert "temperature was 0.7 and is 0.1" in err
        assert "seed was 42 and is 7" in err
        code, _, err = baft(*flags(server, "--resume", "--optimizer", "bootstrap"))
        assert "optimizer was 'mipro' and is 'bootstrap'" in err
        code, _, err = baft(*flags(server))
        assert "begun and not finished" in err
        assert "--resume" in err


def test_a_server_that_stops_in_the_middle(project, train, baft):
    with FakeOpenAI(reply) as server:

        def stopping(asked):
            gone = len(server.requests) > 12
            return Answer(cut="before") if gone else reply(asked)

        server.answers = stopping
        code, _, err = baft(*flags(server, "--max-errors", "0"))
        assert code == 5
        again = re.search(r"Go on with: (baft optimize .* --resume)", err)
        assert again, err
        answered = len((project / "out" / "search.jsonl").read_text("utf-8").splitlines())
        assert answered > 5
        assert not (project / "out" / "program.json").exists()
        server.answers = reply
        code, _, err = baft(*again[1].split()[1:])
        assert code == 0, err
    assert info_of(project / "out")["resumed_answers"] > 0


def test_no_journal_is_left_where_nothing_was_answered(project, train, baft):
    with FakeOpenAI(Answer(status=400, error="no")) as server:
        code, _, err = baft(*flags(server, "--max-errors", "1"))
    assert code == 5
    assert "--max-errors" in err
    assert "--resume" not in err
    assert not (project / "out").exists()


def begin(project, server, *more):
    code = "from baft.cli import main; import sys; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *flags(server, *more)],
        cwd=project,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OLLAMA_HOST": "http://127.0.0.1:9"},
    )


def wait_for(server, count, process):
    deadline = time.monotonic() + 120
    while len(server.requests) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("optimizer", ["mipro", "random"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_search_goes_on_to_the_same_program(project, train, baft, optimizer, how):
    with FakeOpenAI(reply) as server:
        assert baft(*flags(server, "--optimizer", optimizer, output="whole"))[0] == 0
        whole = len(server.requests)
        server.requests.clear()
        server.answers = lambda asked: Answer(text=reply(asked), delay_s=0.03)
        process = begin(project, server, "--optimizer", optimizer)
        wait_for(server, whole // 2, process)
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
        assert process.returncode == (-9 if how is signal.SIGKILL else 130), err
        if how is signal.SIGINT:
            assert "Interrupted after" in err
            assert "--resume" in err
        broken = len(server.requests)
        journal = (project / "out" / "search.jsonl").read_bytes()
        known = sum(b'"generation"' in line for line in journal.splitlines())
        assert 0 < known <= broken < whole
        code, _, err = baft(*flags(server, "--optimizer", optimizer, "--resume"))
        assert code == 0, err
        assert f"resumed with {known} answers" in err
        assert len(server.requests) - broken == whole - known
    resumed, unbroken = info_of(project / "out"), info_of(project / "whole")
    assert (project / "out" / "program.json").read_bytes() == (
        project / "whole" / "program.json"
    ).read_bytes()
    scores = [[(t["score"], t["program_sha256"]) for t in one["trials"]]
              for one in (resumed, unbroken)]  # fmt: skip
    assert scores[0] == scores[1]


def test_a_torn_last_line_is_forgotten_and_a_broken_one_is_named(project, train, baft):
    journal = project / "out" / "search.jsonl"
    with FakeOpenAI(reply) as server:
        assert baft(*flags(server, "--max-calls", "9"))[0] == 0
        raw = journal.read_bytes()
        journal.write_bytes(raw[:-20])
        server.requests.clear()
        code, _, err = baft(*flags(server, "--max-calls", "9", "--resume"))
        assert code == 0, err
        assert len(server.requests) == 1
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join([lines[0], b"{}\n", *lines[1:]]))
        code, _, err = baft(*flags(server, "--resume"))
    assert code == 2
    assert "search.jsonl, line 2" in err


def test_the_program_renders_the_prompt_it_was_chosen_with(project, train, baft):
    with FakeOpenAI(reply) as server:
        assert baft(*flags(server, "--val", "val.jsonl", "--select-on-val"))[0] == 0
        searched = {json.dumps(asked.body["messages"]) for asked in server.requests}
        server.requests.clear()
        code, _, err = baft("eval", "--role", "ba", "--model",
                            f"dspy:out?lm=openai:tiny@{server.url}/v1", "--dataset", "val.jsonl",
                            "--limit", "3")  # fmt: skip
        assert code == 0, err
        rendered = [json.dumps(asked.body["messages"]) for asked in server.requests]
    assert len(rendered) == 3
    assert set(rendered) <= searched


def test_a_local_model(project, train, baft):
    pytest.importorskip("torch")
    from baft.testing import make_tiny_mistral

    make_tiny_mistral(project / "tiny", max_position_embeddings=8192)
    code, _, err = baft("optimize", "--train", "train.jsonl", "--lm", "hf:tiny", "--output", "out",
                        "--num-candidates", "2", "--num-trials", "1", "--max-tokens", "4",
                        "--no-propose", "--max-bootstrapped-demos", "0",
                        "--max-labeled-demos", "0")  # fmt: skip
    assert code == 0, err
    info = info_of(project / "out")
    assert info["lm"].startswith("hf:")
    assert info["result"].startswith("No improvement found")
    assert len(info["trials"]) == 2
