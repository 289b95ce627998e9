"""Disk: datasets, benchmarks, replays, runs and whole-or-not-at-all files."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import pytest

from baft import (
    DataError,
    Decoding,
    Failure,
    Generation,
    Message,
    Policy,
    Prediction,
    RuleResult,
    Score,
    Scored,
    UsageError,
)
from baft.replay import ReplayBackend
from baft.store import RunStore, find_benchmark, new_run_id, read_dataset, write_atomic
from baft.store.benchmarks import Benchmark, check_dataset, read_benchmark
from baft.store.codec import from_data, read_json, to_data, to_json
from baft.store.datasets import survey
from baft.store.files import write_atomic_with
from baft.store.reading import RunReader
from baft.store.runs import AT_ONCE, Sittings

# --- datasets ---


def test_a_dataset_is_read_with_its_hash_and_blank_lines_are_skipped(write_lines, role):
    path = write_lines("d.jsonl", [{"word": "a"}, "\n", {"word": "b", "id": 7}])
    data = read_dataset(path, role)
    assert [e.id for e in data.examples] == ["a", "7"]
    assert len(data.sha256) == 64


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path, role):
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"word": "a"}\r\n')
    assert read_dataset(path, role).examples[0].inputs == {"word": "a"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{broken\n", "d.jsonl, line 2: not valid JSON"),
        ('["a"]\n', "d.jsonl, line 2: a list, not a JSON object"),
        ('{"other": 1}\n', "d.jsonl, line 2: word is missing"),
        ('{"word": "first"}\n', "d.jsonl, line 2: id 'first' was already used in line 1"),
        ("[" * 100_000 + "\n", "d.jsonl, line 2: "),
    ],
)
def test_a_broken_line_names_file_line_and_reason(write_lines, role, line, said):
    path = write_lines("d.jsonl", [{"word": "first"}, line, {"word": "last"}])
    with pytest.raises(DataError) as caught:
        read_dataset(path, role)
    assert said in caught.value.message
    data = read_dataset(path, role, allow_invalid=True)
    assert ([e.id for e in data.examples], len(data.skipped)) == (["first", "last"], 1)


def test_bytes_that_are_not_utf8_are_named(tmp_path, role):
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"word": "\xff"}\n')
    with pytest.raises(DataError, match="line 1: not UTF-8"):
        read_dataset(path, role)


def test_missing_and_empty_datasets_are_errors(tmp_path, role, write_lines):
    with pytest.raises(DataError, match="There is no dataset at"):
        read_dataset(tmp_path / "none.jsonl", role)
    with pytest.raises(DataError, match="holds no example"):
        read_dataset(write_lines("empty.jsonl", ["\n"]), role)
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(tmp_path, role)


# --- benchmarks ---

TOML = 'version = 1\nrole = "ba"\ndataset = "d.jsonl"\nmetric = "m"\n'


def test_the_bundled_benchmarks_are_found_from_anywhere(tmp_path):
    assert find_benchmark("ba", tmp_path).models["baseline"] == "ollama:mistral:7b-instruct"
    assert find_benchmark("pocket", None).policy.threshold == 0.8535


def test_the_projects_own_benchmark_comes_first(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "ba.toml").write_text(TOML)
    assert find_benchmark("ba", tmp_path).dataset == "d.jsonl"


def test_an_unknown_benchmark_suggests_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'pocket'"):
        find_benchmark("poket", tmp_path)
    with pytest.raises(UsageError, match="no benchmark at"):
        find_benchmark("nowhere/x.toml", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("= 1", "not valid TOML"),
        (TOML + "surprise = 1\n", "surprise"),
        (TOML + "[policy]\nthreshold = 85.35\n", "threshold must be a share"),
        (TOML + '[decoding]\ntemperature = "hot"\n', "does not hold a Benchmark"),
    ],
)
def test_a_broken_benchmark_names_the_file_and_reason(tmp_path, text, said):
    path = tmp_path / "b.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=r"b\.toml") as caught:
        read_benchmark(path)
    assert said in str(caught.value)


def test_overrides_reach_the_decoding_and_are_checked():
    base = Benchmark(name="b", version=1, role="ba", dataset="d", metric="m")
    policy = Policy(threshold=0.9)
    changed = base.with_overrides(seed=7, policy=policy, dataset="x", role=None)
    assert (changed.decoding.seed, changed.policy) == (7, policy)
    assert (changed.dataset, changed.role) == ("x", "ba")
    with pytest.raises(UsageError, match="temperature"):
        base.with_overrides(temperature=-1.0)


def test_a_dataset_that_is_not_the_frozen_one_is_refused(write_lines):
    path = write_lines("d.jsonl", [{"word": "a"}])
    frozen = Benchmark(
        name="b", version=1, role="ba", dataset="d", metric="m", dataset_sha256="0" * 64
    )
    with pytest.raises(DataError, match="is not the dataset"):
        check_dataset(frozen, path)


# --- records as JSON ---


@pytest.mark.parametrize(
    "record",
    [
        Generation(example_id="a", text="x\ny", sent=(Message(role="user", content="é"),)),
        Scored(
            example_id="a",
            generation=Generation(example_id="a", text=""),
            prediction=Prediction(fields={"t": [1, {"b": None}]}, validity="none"),
            score=Score(value=0.1, components={"t": 0.5}),
        ),
        Scored(example_id="a", failure=Failure(example_id="a", stage="score", reason="r")),
        Decoding(seed=1),
        RuleResult(name="a", passed=True, observed="text", required="r", why="w"),
        RuleResult(name="a", passed=True, observed=0.1, required="r", why="w"),
    ],
)
def test_every_record_survives_a_round_trip(record):
    assert from_data(type(record), json.loads(to_json(record)), "here") == record


def test_an_unknown_key_is_an_error_that_names_where():
    data = {**to_data(Decoding()), "surprise": 1}
    with pytest.raises(DataError, match=r"here does not hold a Decoding.*surprise"):
        from_data(Decoding, data, "here")


# --- files ---


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "f.txt"
    write_atomic(path, "old")

    def breaks(stream):
        stream.write("new")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_atomic_with(path, breaks)
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["f.txt"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written"):
        write_atomic(tmp_path / "file" / "f.txt", "x")


def test_a_full_disk_is_a_clear_error_and_the_old_file_stands():
    """/dev/full answers every write with 'no space left'."""
    script = (
        "import os, pathlib, sys, tempfile\n"
        "from baft import DataError\n"
        "from baft.store.files import write_atomic_with\n"
        "folder = pathlib.Path(tempfile.mkdtemp()); path = folder / 'f'\n"
        "path.write_text('old')\n"
        "import resource\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try:\n"
        "    write_atomic_with(path, lambda s: s.write('x' * 100_000))\n"
        "except DataError as error:\n"
        "    print(error.message, path.read_text(), len(list(folder.iterdir())))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "could not be written" in done.stdout
    assert done.stdout.rstrip().endswith("old 1")


# --- replays ---


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["{broken\n"], "line 1: not valid JSON"),
        ([[1]], "line 1: a list, not a JSON object"),
        ([{"output": "x"}], "line 1: the key 'concept' is missing"),
        ([{"id": "a"}], "line 1: the key 'output' is missing"),
        ([{"id": "a", "output": 3}], "line 1: output is a int"),
        ([{"id": "a", "output": "x"}, {"id": "a", "output": "y"}], "line 2: a second output"),
        ([{"inputs": 3, "output": "y"}], "line 1: inputs is not an object"),
        ([], "holds no output"),
    ],
)
def test_a_broken_replay_names_file_line_and_reason(write_lines, rows, said):
    with pytest.raises(DataError) as caught:
        ReplayBackend(write_lines("r.jsonl", rows))
    assert said in caught.value.message


def test_a_replay_answers_by_id_inputs_or_text(write_lines, role):
    import asyncio

    path = write_lines(
        "r.jsonl",
        [
            {"id": "a", "output": "by id"},
            {"inputs": {"word": "b"}, "output": "by inputs"},
            {"concept": "c", "output": {"answer": "fields"}},
        ],
    )
    backend = ReplayBackend(path)
    prompts = [role.prompt(role.example({"word": w})) for w in "abc"]
    found = asyncio.run(backend.generate(prompts, Decoding()))
    assert [g.text for g in found] == ["by id", "by inputs", ""]
    assert found[2].fields == {"answer": "fields"}


def test_a_replays_identity_is_its_content(write_lines):
    one = ReplayBackend(write_lines("1.jsonl", [{"id": "a", "output": "x"}]))
    same = ReplayBackend(write_lines("2.jsonl", [{"id": "a", "output": "x"}]))
    other = ReplayBackend(write_lines("3.jsonl", [{"id": "a", "output": "y"}]))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


# --- runs ---


def test_what_is_stored_comes_back_word_for_word(tmp_path, role, make_manifest):
    store = RunStore.create(tmp_path / "run", make_manifest(n=2))
    examples = [role.example({"word": w}) for w in ("x", "y")]
    store.add_examples(examples, role.prompt)
    generation = Generation(
        example_id="x",
        text="ünïcode \u0000 \u202e <b>",
        fields={"a": [float("nan"), {"b": None}]},
        finish_reason="length",
        notes=("cut",),
    )
    store.add_generations("baseline", 0, [generation])
    scored = Scored(
        example_id="x",
        generation=generation,
        prediction=Prediction(fields={"a": 1}, validity="extracted"),
        score=Score(value=0.25, components={"answer": 0.25}),
        other_score=0.0,
    )
    failure = Failure(example_id="y", stage="generate", reason="down", attempts=3)
    store.add_results("baseline", [scored, Scored(example_id="y", failure=failure)])
    store.close()
    found = list(RunStore.open(tmp_path / "run").results("baseline"))
    assert found[0].generation.text == generation.text
    assert found[0].generation.fields == {"a": ["nan", {"b": None}]}
    assert (found[0].score, found[0].prediction) == (scored.score, scored.prediction)
    assert found[1].failure == failure
    assert [e.id for e in RunStore.open(tmp_path / "run").examples()] == ["x", "y"]


def test_lone_surrogates_are_stored_as_escapes(tmp_path, role, make_manifest):
    store = RunStore.create(tmp_path / "run", make_manifest(n=1))
    store.add_generations("baseline", 0, [Generation(example_id="x", text="a\ud800b")])
    assert store.unscored("baseline", 0)[0].text == "a\\ud800b"


def test_a_store_of_before_gets_what_it_lacks(tmp_path, make_manifest):
    RunStore.create(tmp_path / "run", make_manifest(n=1)).close()
    with sqlite3.connect(tmp_path / "run" / "run.db") as db:
        db.executescript(
            "ALTER TABLE generations DROP COLUMN prompt_sha256; PRAGMA user_version=1;"
            "ALTER TABLE generations DROP COLUMN first_token_s;"
            "ALTER TABLE arm_times DROP COLUMN retried;"
            "ALTER TABLE arm_times DROP COLUMN peak_memory_bytes;"
            "INSERT INTO arm_times VALUES ('baseline', 2.5);"
            "INSERT INTO generations VALUES ('baseline','x',0,'old',NULL,'stop',1,2,0.5,NULL,NULL)"
        )
    db.close()
    with RunReader.reading(tmp_path / "run") as reader:
        assert [g.prompt_sha256 for g in reader.unscored("baseline", 0)] == [None]
        assert reader.sittings("baseline") == Sittings(wall_s=2.5)
        assert list(reader.score_rows("baseline")) == []
    store = RunStore.open(tmp_path / "run")
    new = Generation(example_id="y", text="new", prompt_sha256="a1", first_token_s=0.25)
    store.add_generations("baseline", 0, [new])
    old, again = store.unscored("baseline", 0)
    assert (old.text, old.latency_s, old.prompt_sha256) == ("old", 0.5, None)
    assert again == new
    store.add_sitting("baseline", Sittings(wall_s=1.5, retried=2, peak_memory_bytes=7))
    store.add_sitting("baseline", Sittings(wall_s=1.0, retried=1, peak_memory_bytes=5))
    assert store.sittings("baseline") == Sittings(wall_s=5.0, retried=3, peak_memory_bytes=7)


def test_a_run_is_not_overwritten(tmp_path, make_manifest):
    RunStore.create(tmp_path / "run", make_manifest()).close()
    with pytest.raises(DataError, match="already holds a run"):
        RunStore.create(tmp_path / "run", make_manifest())


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"holds no run \(no run.json\)"):
        RunStore.open(tmp_path)


def test_the_manifest_survives_a_round_trip(tmp_path, make_manifest):
    manifest = make_manifest(arms=("a", "b"), limit=3)
    assert RunStore.create(tmp_path / "run", manifest).manifest() == manifest


def test_run_ids_sort_by_time_and_differ():
    assert new_run_id("x") != new_run_id("x")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "1" * 5_000, b"\xff".decode("latin-1")])
def test_json_that_cannot_be_read_is_bad_data_whatever_is_wrong_with_it(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"run\.json, line 1: not valid JSON"):
        read_json(path, "run")
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"run\.json could not be read"):
        read_json(path, "run")


def test_missing_prompts_are_read_from_the_store_in_order(tmp_path, role, make_manifest):
    store = RunStore.create(tmp_path / "run", make_manifest(n=7))
    examples = [role.example({"word": f"w{i}"}) for i in range(7)]
    store.add_examples(examples, role.prompt)
    store.add_generations("baseline", 0, [Generation(example_id="w1", text="x")])
    failure = Failure(example_id="w3", stage="generate", reason="down")
    store.add_results("baseline", [Scored(example_id="w3", failure=failure)])
    found = store.missing("baseline", 0)
    assert list(found) == [role.prompt(examples[i]) for i in (0, 2, 4, 5, 6)]
    assert [p.example_id for p in found[1:4]] == ["w2", "w4", "w5"]
    assert [p.example_id for p in found[::-2]] == ["w6", "w4", "w0"]
    assert (found[-1].example_id, found[9:], len(found)) == ("w6", [], 5)
    with pytest.raises(IndexError):
        found[5]
    assert len(store.missing("baseline", 1)) == len(store.missing("other", 0)) == 7
    chosen = store.missing("baseline", 0, {"w0", "w1", "w6"})
    assert [p.example_id for p in chosen] == ["w0", "w6"]
    pairs = [(examples[i], role.prompt(examples[i])) for i in (5, 0)]
    assert store.asked(["w5", "w0"]) == pairs


def test_examples_are_a_sequence_on_disk(tmp_path, role, make_manifest):
    store = RunStore.create(tmp_path / "run", make_manifest(n=4))
    known = [role.example({"word": f"w{i}"}) for i in range(4)]
    store.add_examples(iter(known), role.prompt)
    found = store.examples()
    assert (list(found), list(found), len(found)) == (known, known, 4)
    assert (found[0], found[-1], found[1:3], found[9:]) == (known[0], known[3], known[1:3], [])
    with pytest.raises(IndexError):
        found[4]


def test_examples_are_looked_up_in_the_order_asked_however_many(tmp_path, role, make_manifest):
    store = RunStore.create(tmp_path / "run", make_manifest(n=AT_ONCE + 2))
    known = [role.example({"word": f"w{i}"}) for i in range(AT_ONCE + 2)]
    store.add_examples(known, role.prompt)
    ids = [example.id for example in reversed(known)]
    assert store.some(iter(["strange", *ids, "w1"])) == [*reversed(known), known[1]]
    assert store.some([]) == []


def test_a_survey_finds_what_reading_finds(write_lines, role):
    path = write_lines("d.jsonl", [{"word": "a"}, {"word": "b"}, {"word": "a"}])
    with pytest.raises(DataError, match="line 3: id 'a' was already used in line 1"):
        survey(path, role)
    data = read_dataset(path, role, allow_invalid=True)
    found = survey(path, role, allow_invalid=True)
    assert (
        (found.num_examples, found.sha256) == (len(data.examples), data.sha256) == (2, found.sha256)
    )
    assert found.skipped == data.skipped
    assert len(found.skipped) == 1
