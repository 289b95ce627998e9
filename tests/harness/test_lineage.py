"""What a model was made from is read from its own record, and found again by its hash."""

from __future__ import annotations

import hashlib
import json

import pytest

from baft.records import ArmManifest
from baft.store.lineage import lineage, sources_of


@pytest.fixture
def made(tmp_path):
    """A project with data, an adapter and a program that record what they were made from."""
    for name in ("train", "val"):
        rows = "".join(json.dumps({"word": f"{name}{i}"}) + "\n" for i in range(3))
        (tmp_path / f"{name}.jsonl").write_text(rows)
    info = {
        "train_dataset": "train.jsonl",
        "train_sha256": sha(tmp_path / "train.jsonl"),
        "val_dataset": "val.jsonl",
        "val_sha256": sha(tmp_path / "val.jsonl"),
    }
    for folder in ("adapter", "program"):
        (tmp_path / folder).mkdir()
    (tmp_path / "adapter" / "training_info.json").write_text(json.dumps(info))
    asked = {key: value for key, value in info.items() if key != "val_dataset"}
    asked |= {"selected_on": "--val val.jsonl"}
    (tmp_path / "program" / "optimization_info.json").write_text(json.dumps({"arguments": asked}))
    return tmp_path


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def uses(sources):
    return [(source.use, source.problem, len(source.examples or ())) for source in sources]


def test_an_adapter_and_a_program_name_their_data(made, role):
    assert uses(lineage("lora:adapter", made, role, {})) == [("trained", "", 3), ("epoch", "", 3)]
    found = lineage("dspy:program?lm=lora:adapter", made, role, {})
    assert uses(found) == [
        *(("trained", "", 3), ("selected", "", 3)),
        *(("trained", "", 3), ("epoch", "", 3)),
    ]
    assert lineage("ollama:mistral:7b", made, role, {}) == []
    assert uses(lineage("adapter", made, role, {}))[0] == ("trained", "", 3)


def test_a_file_that_changed_or_is_gone_is_named_with_the_reason(made, role):
    (made / "train.jsonl").write_text('{"word": "new"}\n')
    (made / "val.jsonl").unlink()
    assert uses(lineage("lora:adapter", made, role, {})) == [
        ("trained", "it has changed since (its hash differs)", 0),
        ("epoch", "the file is gone", 0),
    ]


def test_a_file_that_moved_is_found_by_its_hash(made, role):
    moved = made / "elsewhere.jsonl"
    digest = sha(made / "train.jsonl")
    (made / "train.jsonl").rename(moved)
    assert uses(lineage("lora:adapter", made, role, {digest: moved}))[0] == ("trained", "", 3)


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_record_that_cannot_be_read_is_said(made, role, text):
    (made / "adapter" / "training_info.json").write_text(text)
    (source,) = lineage("lora:adapter", made, role, {})
    assert (source.use, bool(source.problem)) == ("trained", True)


def test_a_record_of_anything_harms_nobody(made, role):
    (made / "adapter" / "training_info.json").write_text(json.dumps({"train_dataset": [1, {}]}))
    assert all(source.problem for source in lineage("lora:adapter", made, role, {}))


def test_the_benchmarks_training_data_stands_in_where_there_is_no_record(
    made, role, make_manifest, monkeypatch
):
    arms = [ArmManifest(name=n, spec=s) for n, s in (("plain", "ollama:x"), ("tuned", "adapter"))]
    manifest = make_manifest(arms, train="val.jsonl", options={"cwd": str(made)})
    found = sources_of(manifest, role)
    assert [s.name for s in found["plain"]] == ["val.jsonl"]
    assert [(s.use, s.name) for s in found["tuned"]] == [
        ("trained", "train.jsonl"),
        ("epoch", "val.jsonl"),
    ]
    (made / "train.jsonl").unlink()
    assert [s.name for s in sources_of(manifest, role)["tuned"]] == [
        *("train.jsonl", "val.jsonl", "val.jsonl")
    ]


def test_whoever_insists_on_a_benchmarks_examples_is_marked(made, role):
    from baft.audit import selected_on

    path = made / "program" / "optimization_info.json"
    path.write_text(json.dumps({"arguments": {"select_on_val": True}}))
    sources = lineage("dspy:program", made, role, {})
    assert "score is optimistic" in selected_on([], "any", sources)
