"""``baft doctor --train …``: the line of ``baft train``, looked at before it is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baft.testing import make_tiny_mistral
from cli import strangers

LINE = ("--train", "val.jsonl", "--val", "val.jsonl", "--output", "out")


@pytest.fixture
def own(project, monkeypatch):
    """A project with a trainer that tells nothing beforehand."""
    yield from strangers.installed(project, monkeypatch)


@pytest.fixture
def tiny(project):
    pytest.importorskip("peft")
    make_tiny_mistral(project / "tiny", max_position_embeddings=8192)
    return "--base-model", "tiny"


def test_a_run_that_fits_is_told_with_memory_and_time(project, baft, tiny):
    code, out, err = baft("doctor", *LINE, *tiny, "--max-length", "8192", "--train-limit", "2")
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["quantization fp32", "memory", "time"]
    assert lines[-1].endswith(
        "baft train --train val.jsonl --val val.jsonl --output out --base-model tiny "
        "--max-length 8192 --train-limit 2"
    )
    assert not (project / "out").exists()


def test_the_same_for_machines(baft, tiny):
    code, out, err = baft(
        "doctor", *LINE, *tiny, "--max-length", "8192", "--val-limit", "1", "--max-steps", "2",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert found["precision"] == "fp32"
    assert found["steps"] == 2
    assert found["total_s"] > 0


def test_what_cannot_fit_is_refused_with_advice(project, baft, tiny, monkeypatch):
    from baft_lora import memory

    monkeypatch.setattr(memory, "free_memory", lambda device: 10_000)
    code, out, err = baft("doctor", *LINE, *tiny, "--max-length", "8192")
    assert (code, out) == (2, "")
    assert "0 MB are free" in err
    assert "smaller base model" in err
    assert not (project / "out").exists()


def test_flags_are_read_as_training_reads_them(baft, tiny):
    code, _, err = baft("doctor", *LINE, *tiny, "--lora-rr", "4")
    assert code == 2
    assert "--lora-rr" in err
    code, _, err = baft("doctor", "--train", "val.jsonl", *tiny)
    assert code == 2
    assert "--val" in err
    code, _, err = baft("doctor", *LINE, "--base-model", "./none")
    assert code == 2
    assert "does not exist" in err


def test_a_trainer_that_tells_nothing_is_named(own, baft):
    code, _, err = baft("doctor", *LINE, "--trainer", "own", "--base-model", "nothing")
    assert code == 2
    assert "'own' tells nothing before it trains" in err
    assert "--max-steps 1" in err


def test_without_it_the_doctor_is_the_doctor(project, baft):
    code, out, _ = baft("doctor", "small", "--json")
    assert code == 0
    assert "checks" in json.loads(out)
    code, out, _ = baft("doctor", "--train=x", "--help")
    assert code == 0
    assert "--train" in out
    assert Path("val.jsonl").is_file()
