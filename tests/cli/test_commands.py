"""Every command as a user runs it, and every error a user will meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def only_run(project):
    (folder,) = (project / "artifacts" / "runs").iterdir()
    return folder


def test_compare_decides_writes_every_file_and_prints_their_paths(project, baft):
    code, out, err = baft("compare", "small")
    folder = only_run(project)
    assert code == 0, err
    assert "PROMOTE FINETUNED" in out.upper()
    for name in ("report.json", "report.md", "report.html", "decision.json"):
        assert (folder / name).stat().st_size > 100
        assert name in out
    decision = json.loads((folder / "decision.json").read_text())
    assert (decision["verdict"], decision["candidate"]) == ("promote", "finetuned")
    report = json.loads((folder / "report.json").read_text())
    assert report["models"]["baseline"]["scores"]["n"] == 22
    assert report["comparison"]["winner"] == "finetuned"


def test_compare_with_json_prints_the_decision_alone(project, baft):
    _, out, _ = baft("compare", "small", "--json")
    assert json.loads(out)["verdict"] == "promote"


def test_exit_codes_carry_the_decision_only_when_asked(project, baft):
    swap = ("--baseline", "good.jsonl", "--finetuned", "poor.jsonl")
    assert baft("compare", "small", *swap)[0] == 0
    assert baft("compare", "small", *swap, "--exit-code")[0] == 3
    short = ("--limit", "3", "--exit-code")
    assert baft("compare", "small", *short)[0] == 4


def test_a_limited_run_is_marked(project, baft):
    _, out, _ = baft("compare", "small", "--limit", "5")
    assert "Smoke run" in out


def test_arms_can_be_named_freely(project, baft):
    code, out, err = baft(
        "compare", "small", "--baseline", "poor.jsonl", "--candidate", "new=good.jsonl"
    )
    assert code == 0, err
    assert "new" in out


def test_decide_again_calls_no_model_and_exits_with_the_verdict(project, baft):
    baft("compare", "small")
    for name in ("good", "poor", "fair"):
        (project / f"{name}.jsonl").unlink()
    assert baft("decide", only_run(project))[0] == 0
    assert baft("decide", "last", "--threshold", "95%")[0] == 3
    assert json.loads((only_run(project) / "decision.json").read_text())["verdict"] == "keep"
    report = json.loads((only_run(project) / "report.json").read_text())
    assert report["comparison"]["winner"] == "baseline"


def test_decide_by_a_named_policy_and_single_rules(project, baft):
    baft("compare", "small")
    run = next((project / "artifacts/runs").iterdir())
    code, out, _ = baft("decide", run, "--policy", "strategy", "--json")
    decision = json.loads(out)
    failed = [r["name"] for r in decision["considered"]["finetuned"] if not r["passed"]]
    assert (code, decision["policy"]["name"], failed) == (0, "strategy", ["gain_over_simpler"])
    assert (decision["verdict"], decision["candidate"]) == ("promote", "optimized")
    one_point = ("--rule", "gain_over_simpler.finetuned=1%", "--json")
    code, out, _ = baft("decide", run, "--policy", "strategy", *one_point)
    assert (code, json.loads(out)["candidate"]) == (0, "finetuned")
    code, _, err = baft("decide", run, "--rule", "min_validty=0.9")
    assert (code, "Did you mean 'min_validity'?" in err) == (2, True)
    code, _, err = baft("decide", run, "--policy", "strategie")
    assert (code, "Did you mean 'strategy'?" in err) == (2, True)


def test_compare_by_a_named_policy_and_single_rules(project, baft):
    code, out, _ = baft(
        *("compare", "small", "--policy", "retention", "--rule", "tags.tier=0.8"),
        *("--rule", "floor=off", "--json", "--exit-code"),
    )
    decision = json.loads(out)
    assert (decision["policy"]["retention"], decision["policy"]["floor"]) == (0.9, None)
    names = [rule["name"] for rule in decision["rules"]]
    assert {"retention", "min_validity", "max_std", "tags.tier"} <= set(names)
    assert not {"floor", "not_worse"} & set(names)
    assert code in (0, 3, 4)


def test_report_writes_the_files_again(project, baft):
    baft("compare", "small")
    folder = only_run(project)
    (folder / "report.html").unlink()
    code, out, _ = baft("report", folder, "--json")
    assert code == 0
    assert set(json.loads(out)) >= {"report.html", "report.json", "report.md"}
    assert (folder / "report.html").is_file()


def test_eval_scores_one_model_with_the_same_keys(project, baft):
    code, out, err = baft("eval", "--role", "ba", "--model", "good.jsonl", "--dataset", "val.jsonl")
    assert code == 0, err
    report = json.loads((project / "eval_report.json").read_text())
    assert report["models"]["model"]["scores"]["mean"] == pytest.approx(6.5 / 7)
    assert "0.9286" in out


def test_score_gives_one_line_out_per_line_in(project, baft):
    lines = [
        {"id": "a", "output": "nothing"},
        {"concept": "x", "output": {"title": "A fine long title"}},
        {"id": "a", "output": "twice is fine"},
    ]
    (project / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, _ = baft("score", "--role", "ba", "--predictions", "p.jsonl", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [set(row) for row in rows] == [{"id", "score", "components", "failure"}] * 3
    assert rows[0]["score"] == 0.0
    assert rows[1]["score"] == pytest.approx((0.2 + 0.5) / 7)
    assert "mean" in baft("score", "--predictions", "p.jsonl")[1].lower()


def test_plugins_are_listed(project, baft):
    code, out, _ = baft("plugins")
    assert code == 0
    assert "roles:ba" in out
    listed = json.loads(baft("plugins", "--json")[1])
    assert {p["name"] for p in listed["plugins"]} >= {"ba", "replay", "ollama", "lora", "dspy"}


def test_a_blocked_plugin_is_named_where_it_is_missed(project, baft):
    code, _, err = baft("compare", "small", "--no-plugin", "ba")
    assert code == 2
    assert "'ba' is not available: blocked by --no-plugin" in err


def test_doctor_says_what_is_missing_and_what_to_type(project, baft):
    code, out, _ = baft("doctor", "small")
    assert code == 0, out
    code, out, _ = baft("doctor", "ba")
    assert code == 2
    assert "MISSING ba baseline" in out
    assert "ollama serve" in out


def test_init_sets_up_an_empty_folder_and_changes_nothing_that_exists(project, baft):
    before = (project / "config.yaml").read_bytes()
    code, out, err = baft("init", "--project", project)
    assert code == 0, err
    assert (project / "benchmarks" / "pocket.toml").is_file()
    assert (project / "config.yaml").read_bytes() == before
    assert "kept" in out


def test_options_of_every_command_may_stand_anywhere(project, baft, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    code, _, err = baft("compare", "small", "--project", project, "-q")
    assert code == 0, err
    assert "run " not in err


# --- adoption ---


def test_a_replayed_winner_needs_the_model_behind_it(project, baft):
    before = (project / "config.yaml").read_bytes()
    code, _, err = baft("compare", "small", "--apply")
    assert code == 2
    assert "--as" in err
    assert (project / "config.yaml").read_bytes() == before


def test_keep_changes_nothing_with_apply(project, baft):
    before = (project / "config.yaml").read_bytes()
    code, _, err = baft(
        "compare", "small", "--baseline", "good.jsonl", "--finetuned", "poor.jsonl", "--apply"
    )
    assert code == 0
    assert "stays as it is" in err
    assert (project / "config.yaml").read_bytes() == before


# --- errors a user will meet: what happened, and what to do ---


def fails(result, *parts, code=2):
    assert result[0] == code, result
    for part in parts:
        assert part in result[2], result[2]
    assert "Traceback" not in result[2]


def test_unknown_scheme(project, baft):
    fails(baft("compare", "small", "--baseline", "olama:x"), "'olama'", "Did you mean 'ollama'?")


def test_a_path_that_is_nothing(project, baft):
    (project / "empty").mkdir()
    fails(baft("compare", "small", "--baseline", "empty"), "an empty folder", "Looked for")


def test_dataset_missing_empty_or_broken(project, baft):
    fails(baft("compare", "small", "--dataset", "no.jsonl"), "There is no dataset at no.jsonl")
    (project / "bad.jsonl").write_text('{"concept": "a b"}\n{"concept": 3}\n')
    fails(
        baft("compare", "small", "--dataset", "bad.jsonl"), "bad.jsonl, line 2", "--allow-invalid"
    )
    (project / "bad.jsonl").write_text("\n")
    fails(baft("compare", "small", "--dataset", "bad.jsonl"), "holds no example")


def test_duplicate_ids(project, baft):
    (project / "bad.jsonl").write_text('{"id": "1", "concept": "a"}\n{"id": "1", "concept": "b"}\n')
    fails(baft("compare", "small", "--dataset", "bad.jsonl"), "line 2: id '1' was already used")


def test_an_arm_without_any_scored_example(project, baft):
    (project / "other.jsonl").write_text('{"id": "nobody", "output": "x"}\n')
    result = baft("compare", "small", "--finetuned", "other.jsonl", "--baseline", "poor.jsonl")
    fails(result, "finetuned has no scored example", "--resume", code=5)


def test_ollama_down(project, baft):
    result = baft("compare", "small", "--baseline", "ollama:mistral")
    fails(result, "baseline (ollama:mistral) is not available", "ollama serve", "compare pocket")


def test_the_official_benchmark_says_which_arm_is_missing_and_how_to_get_it(project, baft):
    result = baft("compare")
    fails(result, "baseline", "optimized", "finetuned", "ollama pull mistral", "baft train",
          "baft optimize", "`baft compare pocket` runs on any machine")  # fmt: skip


def test_an_adapter_whose_base_is_absent_offline(project, baft):
    adapter = project / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "mistralai/Absent-7B", "peft_type": "LORA"})
    )
    (adapter / "adapter_model.safetensors").write_bytes(b"\0" * 8)
    fails(baft("compare", "small", "--finetuned", "adapter"), "mistralai/Absent-7B", "?base=")


def test_config_missing_or_without_the_role(project, baft):
    baft("compare", "small")
    run = only_run(project)
    fails(baft("promote", run, "--config", "no.yaml", "--as", "ollama:x"), "no.yaml")
    (project / "config.yaml").write_text("roles: {qa: {provider: ollama}}\n")
    fails(baft("promote", run, "--as", "ollama:x"), "roles.ba")


def test_a_threshold_outside_its_range(project, baft):
    fails(baft("compare", "small", "--threshold", "85.35"), "between 0 and 1", "Write 85.35%")
    fails(baft("compare", "small", "--threshold", "-1"), "between 0 and 1")
    fails(baft("compare", "small", "--threshold", "nan"), "between 0 and 1")
    fails(baft("compare", "small", "--threshold", "lots"), "is not a number")
    assert baft("compare", "small", "--threshold", "85.35%")[0] == 0


def test_flags_out_of_range(project, baft):
    for flags in (
        ("--temperature", "-1"), ("--max-tokens", "0"), ("--repeats", "0"), ("--limit", "0"),
        ("--concurrency", "0"), ("--timeout", "0"), ("--retries", "-1"),
        ("--candidate", "nothing"), ("--incumbent", "nobody"), ("--extraction", "magic"),
    ):  # fmt: skip
        fails(baft("compare", "small", *flags))


def test_unknown_benchmark_role_metric_run_and_command(project, baft):
    fails(baft("compare", "smal"), "Did you mean 'small'?")
    fails(baft("compare", "small", "--role", "baa"), "Did you mean 'ba'?")
    fails(baft("compare", "small", "--metric", "ba_requirement"), "Did you mean 'ba_requirements'?")
    fails(baft("decide", "nothing"), "There is no run 'nothing'")
    assert baft("compar")[0] == 2


def test_a_full_disk_stops_the_run_and_loses_nothing_committed(project):
    script = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from baft.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))\n"
        "main(['compare', 'small', '-q'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Free some space" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(project):
    """As in ``baft score … | head -1``: also where the pipe breaks at the last flush."""
    command = [sys.executable, "-m", "baft", "score", "--predictions", "good.jsonl", "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
