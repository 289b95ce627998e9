"""Datasets made by a model: what is kept of its answers, and going on after being stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from baft import Prediction
from baft.cli import main
from baft.data import Bar, Candidate, fresh, judge, row_of, select
from baft.loader import load_plugins
from baft.records import Example
from baft.testing import Answer, FakeOpenAI

SYNTHETIC = Path(__file__).parents[2] / "artifacts" / "synthetic"
ROWS = [
    json.loads(line)
    for line in (SYNTHETIC / "ba_val_v2_fixed.jsonl").read_text("utf-8").splitlines()
]
BAR = Bar(min_score=0.85, min_fit=0.95)


@pytest.fixture(scope="module")
def plugins():
    return load_plugins()


@pytest.fixture(scope="module")
def ba(plugins):
    return plugins.role("ba")


@pytest.fixture(scope="module")
def examples(ba):
    return [ba.example(row) for row in ROWS]


@pytest.fixture
def chosen(plugins, ba, examples):
    """Selects among answers, given as ``(example, fields, attempt)``."""
    metric = plugins.metric("ba_requirements")

    def chosen(*answers, bar=BAR, known=(), among=None):
        candidates = []
        for which, fields, attempt in answers:
            prediction = Prediction(fields=fields, validity="as_is")
            score = metric.score(examples[which], prediction).value
            candidates.append(
                Candidate(
                    example=examples[which], attempt=attempt, prediction=prediction, score=score
                )
            )
        return select(ba, metric, among or examples, candidates, bar, known)

    return chosen


@pytest.fixture
def baft(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["data", "generate", *map(str, arguments)])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


def template(concept):
    """Full marks for nothing: the concept pasted into the same words."""
    entries = {"functional_requirements": "FR", "non_functional_requirements": "NFR"}
    lists = {
        name: [
            {"id": f"{prefix}00{n}", "description": words, "priority": "High"}
            for n, words in enumerate(("The system works", "The system is there"), start=1)
        ]
        for name, prefix in {**entries, "constraints": "C"}.items()
    }
    title = " ".join(concept.split()[:4]) + " platform"
    return {"title": title, "description": f"{concept} And it does so for everybody.", **lists}


# what is kept


def test_good_answers_to_every_example_are_kept(chosen, examples):
    found = chosen(*((i, example.reference, 1) for i, example in enumerate(examples)))
    assert [one.example for one in found.chosen] == examples
    assert {one.fit for one in found.chosen} == {1.0}
    assert found.rejected == {}


def test_an_answer_below_the_bar_is_not_kept_and_a_later_try_may_be(chosen, examples):
    poor = {**examples[0].reference, "constraints": []}
    found = chosen((0, poor, 1), (1, poor, 1), (0, examples[0].reference, 2))
    assert [(one.example, one.attempt) for one in found.chosen] == [(examples[0], 2)]
    assert found.rejected[examples[1].id] == "low score"
    assert found.rejected[examples[2].id] == "no answer"


def test_answers_to_other_examples_do_not_fit(chosen, examples):
    n = len(examples)
    dealt = [(i, examples[(i + 1) % n].reference, 1) for i in range(n)]
    assert set(chosen(*dealt).rejected.values()) == {"poor fit"}


def test_of_a_template_with_the_concept_pasted_in_one_answer_is_kept(chosen, examples):
    answers = [(i, template(example.inputs["concept"]), 1) for i, example in enumerate(examples)]
    found = chosen(*answers)
    assert [one.example.id for one in found.chosen] == [examples[0].id]
    assert set(found.rejected.values()) == {"copy"}


def test_an_answer_that_a_known_example_has_is_not_kept(chosen, examples):
    found = chosen((3, examples[3].reference, 1), known=[examples[3]])
    assert found.rejected[examples[3].id] == "copy"


def test_what_the_role_cannot_read_back_is_not_kept(chosen, examples):
    broken = {**examples[0].reference, "title": 10**12}
    assert chosen((0, broken, 1)).rejected[examples[0].id] == "unreadable"


def test_among_three_examples_fit_is_not_judged(chosen, examples):
    found = chosen((0, examples[0].reference, 1), among=examples[:3])
    assert found.chosen[0].fit is None


def test_examples_that_repeat_others_are_not_asked(ba, examples):
    again = ba.example({"concept": ROWS[2]["concept"].replace("the", "a"), "id": "again"})
    assert fresh([*examples, again], examples[:1]) == tuple(examples[1:])


def test_a_bar_outside_its_range_is_an_error():
    with pytest.raises(ValueError, match="min_fit"):
        Bar(min_score=0.5, min_fit=1.5)


def test_every_role_reads_back_what_is_written_for_it(plugins):
    references = {
        "code_files": [{"path": "app.py", "content": "x = 1\n"}],
        "defects": [{"location": "app.py", "description": "d", "severity": "High"}],
        "test_summary": {"passed": 3, "failed": 1},
        "recommendations": ["mend it"],
        "stories_yaml": "- id: S1",
        "epics_yaml": "- id: E1",
    }
    needs = "functional_requirements:\n- id: FR001\n  description: it floats"
    lists = [{"id": "FR001", "description": "d", "priority": "High"}]
    for name in plugins.names("roles"):
        role = plugins.role(name)
        reference = {
            field.name: references.get(field.name, lists if field.kind == "list" else "title: a")
            for field in role.outputs
        }
        inputs = {field.name: f"a {field.name} for boats" for field in role.inputs}
        inputs |= {"requirements_yaml": needs} if "requirements_yaml" in inputs else {}
        example = Example(id="e1", inputs=inputs, reference=reference, tags={"tier": "simple"})
        again = judge("f", 1, row_of(role, example, provenance={"try": 1}), role)
        assert again.problem == "", name
        assert again.example.inputs == inputs, name
        assert again.example.reference == reference, name
        assert again.example.tags == {"tier": "simple", "provenance": {"try": 1}}, name


# the command


@pytest.fixture
def replayed(tmp_path):
    """Concepts, and a model that answers them with their references, but for two."""
    rows = [{key: row[key] for key in ("concept", "tier", "lang")} for row in ROWS]
    write(tmp_path / "concepts.jsonl", rows)
    answers = []
    for i, row in enumerate(ROWS):
        text = yaml.safe_dump(row["requirements"], sort_keys=False, allow_unicode=True)
        if i == 3:
            text = "I would rather not."
        if i == 5:
            text = yaml.safe_dump(ROWS[6]["requirements"], sort_keys=False)
        answers.append({"concept": row["concept"], "output": text})
    write(tmp_path / "model.jsonl", answers)
    return "concepts.jsonl", "--model", "replay:model.jsonl", "--output", "new.jsonl"


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_a_dataset_is_made_with_the_provenance_of_every_row(replayed, baft, tmp_path):
    code, out, err = baft(*replayed, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["kept"], found["concepts"]) == (20, 22)
    assert found["rejected"] == {"low score": 1, "poor fit": 1}
    rows = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text("utf-8").splitlines()]
    assert [row["requirements"] for row in rows] == [
        row["requirements"] for i, row in enumerate(ROWS) if i not in (3, 5)
    ]
    assert {row["tier"] for row in rows} == {"simple", "medium", "corporate"}
    told = rows[0]["provenance"]
    assert (told["model"], told["try"], told["seed"]) == ("replay:model.jsonl", 1, 42)
    assert (told["metric"], told["fit"]) == ("ba_requirements v1", 1.0)
    assert len(told["fingerprint"]) == 64
    with pytest.raises(SystemExit) as caught:
        main(["data", "audit", "new.jsonl"])
    assert not caught.value.code


def test_what_is_in_another_dataset_is_not_made_again(replayed, baft, tmp_path):
    write(tmp_path / "val.jsonl", ROWS[:4])
    code, out, _ = baft(*replayed, "--against", "val.jsonl")
    assert code == 0
    assert out == "17 of 22 concepts (1 poor fit, 4 not asked: they repeat others)\n"


def test_answers_are_filtered_anew_without_asking(replayed, baft, tmp_path):
    assert baft(*replayed)[0] == 0
    asked = (tmp_path / "new.jsonl.run" / "run.json").read_bytes()
    assert "exists already" in baft(*replayed)[2]
    code, out, _ = baft(*replayed, "--force", "--min-fit", "0", "--min-score", "0", "--json")
    assert (code, json.loads(out)["rejected"]) == (0, {"unreadable": 1, "copy": 1})
    assert (tmp_path / "new.jsonl.run" / "run.json").read_bytes() == asked


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--temperature", "0.1"), "settings of decoding"),
        (("--limit", "9"), "concepts"),
        (("--extraction", "strict"), "extraction"),
    ],
)
def test_answers_by_other_settings_do_not_go_together(flags, said, replayed, baft):
    assert baft(*replayed)[0] == 0
    code, _, err = baft(*replayed, "--force", *flags)
    assert code == 2
    assert said in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--min-fit", "3"), "min_fit must be between 0 and 1"),
        (("--tries", "0"), "tries must be at least 1"),
        (("--extraction", "some"), "There is no extraction 'some'"),
        (("--temperature", "-1"), "temperature must be between"),
        (("--output", "concepts.jsonl"), "is the dataset itself"),
        (("--against", "nowhere.jsonl"), "There is no dataset at nowhere.jsonl"),
        (("--against", "concepts.jsonl"), "Every concept of concepts.jsonl is known"),
        (("--model", "nothing:x"), "nothing"),
    ],
)
def test_what_cannot_be_is_an_error(flags, said, replayed, baft):
    code, _, err = baft(*replayed, *flags)
    assert (code, said in err) == (2, True), err


def test_nothing_good_enough_writes_nothing_and_exits_with_5(replayed, baft, tmp_path):
    code, _, err = baft(*replayed, "--min-score", "0.99")
    assert code == 5
    assert "No answer was good enough" in err
    assert not (tmp_path / "new.jsonl").exists()


def test_concepts_may_be_lines_of_text(replayed, baft, tmp_path):
    lines = [row["concept"] for row in ROWS[:3]]
    (tmp_path / "c.txt").write_text("\n".join([*lines, "", lines[0]]) + "\n", "utf-8")
    code, out, err = baft("c.txt", *replayed[1:])
    assert (code, out) == (0, "3 of 3 concepts\n"), err
    assert "3 concepts are too few to tell" in err
    (tmp_path / "empty.txt").write_text("\n")
    assert "holds no concept" in baft("empty.txt", *replayed[1:], "--force")[2]


def test_plain_text_is_no_use_to_a_role_with_several_inputs(replayed, baft, tmp_path):
    (tmp_path / "c.txt").write_text("a story\n")
    code, _, err = baft("c.txt", *replayed[1:], "--role", "dev")
    assert code == 2
    assert "has several inputs (story, architecture)" in err


# a model that fails now and then


def reply(asked):
    """The reference of the example that is asked about; a refusal first for every third."""
    text = asked.body["messages"][-1]["content"]
    number = next(i for i, row in enumerate(ROWS) if row["concept"] in text)
    if number % 3 == 0 and asked.body["seed"] == 42:
        return "No."
    return yaml.safe_dump(ROWS[number]["requirements"], sort_keys=False, allow_unicode=True)


def served(server):
    return "concepts.jsonl", "--model", f"openai:tiny@{server.url}/v1"


def test_only_what_is_missing_is_tried_again_with_another_seed(replayed, baft, tmp_path):
    pytest.importorskip("aiohttp")
    with FakeOpenAI(reply) as server:
        code, out, err = baft(*served(server), "--output", "new.jsonl")
        assert (code, out) == (0, "22 of 22 concepts\n"), err
        assert len(server.requests) == 22 + 8
    rows = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text("utf-8").splitlines()]
    tries = [(row["provenance"]["try"], row["provenance"]["seed"]) for row in rows]
    assert tries == [(2, 43) if i % 3 == 0 else (1, 42) for i in range(22)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_generation_goes_on_to_the_same_dataset(how, replayed, baft, tmp_path):
    pytest.importorskip("aiohttp")
    with FakeOpenAI(reply) as server:
        assert baft(*served(server), "--output", "whole.jsonl")[0] == 0
        whole = len(server.requests)
        server.requests.clear()
        server.answers = lambda asked: Answer(text=reply(asked), delay_s=0.1)
        command = [*served(server), "--output", "new.jsonl", "--concurrency", "2"]
        process = subprocess.Popen(
            [sys.executable, "-m", "baft", "data", "generate", *command],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        deadline = time.monotonic() + 120
        while len(server.requests) < whole // 2 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
        assert process.returncode == (-9 if how is signal.SIGKILL else 130), err
        assert not (tmp_path / "new.jsonl").exists()
        assert baft(*command)[0] == 0
        assert whole <= len(server.requests) <= whole + 2  # the two in flight
    parts = []
    for name in ("whole", "new"):
        rows = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for row in rows:
            del row["provenance"]["run"], row["provenance"]["date"]
        parts.append(rows)
    assert parts[0] == parts[1]


def test_a_server_that_is_gone_leaves_what_it_answered(replayed, baft, tmp_path):
    pytest.importorskip("aiohttp")
    with FakeOpenAI(reply) as server:
        command = [*served(server), "--output", "new.jsonl", "--concurrency", "1"]
        server.answers = lambda asked: (
            reply(asked) if len(server.requests) < 5 else Answer(status=404, error="gone")
        )
        code, _, err = baft(*command)
        assert code == 5, err
        assert "the same command goes on with new.jsonl.run" in err
        assert not (tmp_path / "new.jsonl").exists()
        server.answers = reply
        assert baft(*command)[0] == 0
