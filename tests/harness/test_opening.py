"""Specs of a benchmark work from any folder."""

from __future__ import annotations

import pytest

from baft.opening import anchor


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A benchmark's root with a model and a program in it, beside the current folder."""
    for name in ("model", "program"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "root"


def test_a_path_below_the_root_becomes_one_that_works_here(root):
    assert anchor("hf:model", root) == f"hf:{root}/model"
    assert anchor("model", root) == f"{root}/model"


def test_a_path_below_the_current_folder_stays_relative(root, monkeypatch):
    monkeypatch.chdir(root)
    assert anchor("hf:model", root) == "hf:model"


def test_the_model_behind_a_program_is_anchored_too(root):
    assert anchor("dspy:program?lm=hf:model", root) == f"dspy:{root}/program?lm=hf:{root}/model"
    assert anchor("lora:program?base=model", root) == f"lora:{root}/program?base={root}/model"


def test_what_is_no_path_below_the_root_stays_as_it_is(root):
    for spec in ("ollama:mistral:7b", "openai:m@http://127.0.0.1:1/v1", "hf:/abs", "lora:absent"):
        assert anchor(spec, root) == spec
